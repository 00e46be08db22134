"""The shared feature extractor and the per-species output, for many ensemble members at once.

Paper: Linear(F, H) + ReLU, then blocks h <- h + ReLU(Linear(H, H)(h)), then Linear(H, S). What differs: every parameter
has a leading members dimension, so that M networks train as one batched matrix product; with 0 blocks there is no hidden
layer at all, which is multi-response Maxent on the features given.

Letters: M members, B sites, F features, H width, L blocks, S species.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

_ROUND = 16


class StackedNetwork(nn.Module):
    """M residual ReLU networks of one shape.

    Args:
        features: F.
        species: S.
        width: H, ignored with 0 blocks.
        blocks: L residual blocks; 0 makes the output linear in the features.
        seeds: One seed per member; a member starts from the same weights whatever it is stacked with.
        input_mask: (M, F) 0/1, features a member may see, or None for all.
    """

    input_mask: Tensor | None
    running_log_partition: Tensor

    def __init__(
        self,
        features: int,
        species: int,
        *,
        width: int = 250,
        blocks: int = 2,
        seeds: Sequence[int] = (0,),
        input_mask: Tensor | None = None,
    ) -> None:
        super().__init__()
        self.members, self.features, self.species = len(seeds), features, species
        self.width, self.blocks = width, blocks
        sizes = layer_sizes(features, species, width, blocks)
        self.weights = nn.ParameterList(nn.Parameter(torch.empty(self.members, out, into)) for into, out in sizes)
        self.biases = nn.ParameterList(nn.Parameter(torch.empty(self.members, out)) for _, out in sizes)
        self.register_buffer("input_mask", input_mask)
        self.register_buffer("running_log_partition", torch.full((self.members, species), -math.inf))
        self.reset(seeds)

    @torch.no_grad()
    def reset(self, seeds: Sequence[int]) -> None:
        """Uniform weights and biases within 1/sqrt(fan-in), the default of a linear layer."""
        for member, seed in enumerate(seeds):
            generator = torch.Generator().manual_seed(int(seed))
            for weight, bias in zip(self.weights, self.biases, strict=True):
                bound = 1.0 / math.sqrt(max(weight.shape[-1], 1))
                weight[member].copy_(torch.empty(weight.shape[1:]).uniform_(-bound, bound, generator=generator))
                bias[member].copy_(torch.empty(bias.shape[1:]).uniform_(-bound, bound, generator=generator))

    def forward(self, features: Tensor, masks: Sequence[Tensor] | None = None) -> Tensor:
        """Log-intensity.

        Args:
            features: (M, B, F), or (B, F) shared by all members.
            masks: L + 1 dropout multipliers for the hidden layers, each (M, B, H) or (M, 1, H); None at prediction.

        Returns:
            (M, B, S) f, up to a constant per member and species.
        """
        if features.dim() == 2:
            features = features.expand(self.members, *features.shape)
        h = features if self.input_mask is None else features * self.input_mask.unsqueeze(1)
        layers = list(zip(self.weights, self.biases, strict=True))
        for index, (weight, bias) in enumerate(layers[:-1]):
            r = torch.relu(torch.baddbmm(bias.unsqueeze(1), h, weight.transpose(1, 2)))
            r = r if masks is None else r * masks[index]
            h = r if index == 0 else h + r
        weight, bias = layers[-1]
        return torch.baddbmm(bias.unsqueeze(1), h, weight.transpose(1, 2))

    @torch.no_grad()
    def predictor(self, precision: str = "float32") -> Callable[[Tensor], Tensor]:
        """The same function for prediction, on the CPU, member by member with buffers used again.

        Sizes are rounded up by zeros to multiples of 16. Matrix products of sizes that are no multiple of the vector length
        sum the rows of a chunk in different orders, so that a site's last bit would depend on its place in the chunk.
        Zeros change no sum.

        Args:
            precision: "float32", or "bfloat16" for the products between hidden layers; the first and last layer and all sums
                over blocks stay in float32.

        Returns:
            (B, F) -> (M, B, S).
        """
        into, wide, out = _rounded(self.features), _rounded(self.width), _rounded(self.species)
        sizes = [(into, wide), *[(wide, wide)] * (len(self.weights) - 2), (wide, out)]
        sizes = [(into, out)] if len(self.weights) == 1 else sizes
        kinds = [torch.float32] * len(sizes)
        if precision == "bfloat16":
            kinds[1:-1] = [torch.bfloat16] * (len(sizes) - 2)
        members = []
        for m in range(self.members):
            layers = []
            for weight, bias, (a, b), kind in zip(self.weights, self.biases, sizes, kinds, strict=True):
                w, c = weight.detach()[m].cpu(), bias.detach()[m].cpu()
                padded = pad(w, (0, a - w.shape[1], 0, b - w.shape[0]))
                layers.append((padded.t().contiguous().to(kind), pad(c, (0, b - len(c))).to(kind)))
            members.append(layers)
        masks = None if self.input_mask is None else pad(self.input_mask, (0, into - self.features)).cpu()

        def member(m: int, x: Tensor) -> Tensor:
            h = x if masks is None else x * masks[m]
            layers = members[m]
            for index, (weight, bias) in enumerate(layers[:-1]):
                r = torch.addmm(bias, h.to(weight.dtype), weight).relu_()
                h = r if index == 0 else h.add_(r)
            weight, bias = layers[-1]
            return torch.addmm(bias, h, weight)

        def predict(features: Tensor) -> Tensor:
            with torch.inference_mode():
                x = pad(features, (0, into - features.shape[1]))
                answers = [member(m, x) for m in range(len(members))]
                return (torch.stack(answers) if len(answers) > 1 else answers[0][None])[..., : self.species]

        return predict

    def fused_loss(
        self,
        features: Tensor,
        counts: Tensor,
        log_weight: Tensor | None,
        species_weight: Tensor | None,
        masks: Sequence[Tensor] | None,
    ) -> Tensor:
        """`normalised_poisson(self(features, masks), ...)` with the gradient written out by hand.

        Args:
            features: (M, B, F).
            counts: (M, B, S).
            log_weight: (M, B) or None.
            species_weight: (S,) or None.
            masks: As in `forward`.

        Returns:
            Scalar with gradients to every parameter (that of the output bias is 0 up to rounding).
        """
        if self.input_mask is not None:
            features = features * self.input_mask.unsqueeze(1)
        parameters = [p for pair in zip(self.weights, self.biases, strict=True) for p in pair]
        return _Fused.apply(features, counts, log_weight, species_weight, masks, *parameters)


def _rounded(size: int) -> int:
    return size + -size % _ROUND


def layer_sizes(features: int, species: int, width: int, blocks: int) -> list[tuple[int, int]]:
    """(in, out) of each linear layer."""
    if blocks == 0:
        return [(features, species)]
    return [(features, width)] + [(width, width)] * blocks + [(width, species)]


class _Fused(torch.autograd.Function):
    """Forward and backward in one go: the loss is a scalar, so its gradient is known once the forward pass is.

    Every operation is the one automatic differentiation would run for a single plain network, in the same order, so that
    a member of a stack goes through the same bits as that network wherever batched and single matrix products round
    alike. (A difference in the last bit does not stay there: it moves a site across the kink of a ReLU, and Adam turns
    that into steps of full size.)
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        counts: Tensor,
        log_weight: Tensor | None,
        species_weight: Tensor | None,
        masks: Sequence[Tensor] | None,
        *parameters: Tensor,
    ) -> Tensor:
        weights, biases = parameters[0::2], parameters[1::2]
        hidden, rectified = hidden_layers(x, weights, biases, masks)
        f = torch.baddbmm(biases[-1].unsqueeze(1), hidden[-1], weights[-1].transpose(1, 2))  # (M, B, S)
        y = counts if species_weight is None else counts * species_weight
        scale = -1.0 / (f.shape[1] * f.shape[2])
        if log_weight is None:
            log_q = f.log_softmax(1)
            loss = (y * log_q).sum() * scale
        else:
            weighted = f + log_weight.unsqueeze(-1)
            log_q = weighted.log_softmax(1)
            loss = ((y * f).sum() - (y.sum(1) * weighted.logsumexp(1)).sum()) * scale
        # dL/df = (n q - y) / (B S)
        d = torch.ops.aten._log_softmax_backward_data(y * scale, log_q, 1, f.dtype)
        ctx.gradients = parameter_gradients(d, hidden, rectified, weights, masks)
        return loss

    @staticmethod
    def backward(ctx: Any, *outputs: Tensor) -> tuple[Tensor | None, ...]:
        scale = outputs[0]
        # a plain backward() passes exactly 1
        scaled = [g if g is None else (g if float(scale) == 1.0 else g * scale) for g in ctx.gradients]
        ctx.gradients = None
        return (None, None, None, None, None, *scaled)


def hidden_layers(
    x: Tensor, weights: Sequence[Tensor], biases: Sequence[Tensor], masks: Sequence[Tensor] | None
) -> tuple[list[Tensor], list[Tensor]]:
    """Input and hidden layers (M, B, .), and the rectified parts that made them, for a gradient written out by hand."""
    hidden, rectified = [x], []
    for index, (weight, bias) in enumerate(zip(weights[:-1], biases[:-1], strict=True)):
        r = torch.baddbmm(bias.unsqueeze(1), hidden[-1], weight.transpose(1, 2)).relu_()
        rectified.append(r)
        masked = r if masks is None else r * masks[index]
        hidden.append(masked if index == 0 else hidden[-1] + masked)
    return hidden, rectified


def parameter_gradients(
    d: Tensor,
    hidden: Sequence[Tensor],
    rectified: Sequence[Tensor],
    weights: Sequence[Tensor],
    masks: Sequence[Tensor] | None,
) -> list[Tensor | None]:
    """Gradients of weight, bias, weight, bias, ... from (M, B, S) dL/df."""
    gradients: list[Tensor | None] = [torch.bmm(d.transpose(1, 2), hidden[-1]), d.sum(1)]
    dh = torch.bmm(d, weights[-1])
    for index in range(len(weights) - 2, -1, -1):
        dz = dh if masks is None else dh * masks[index]
        dz = torch.ops.aten.threshold_backward(dz, rectified[index], 0)
        gradients = [torch.bmm(dz.transpose(1, 2), hidden[index]), dz.sum(1), *gradients]
        if index > 0:
            dh += torch.bmm(dz, weights[index])
    return gradients


def dropout_masks(
    members: int, sites: int, width: int, layers: int, rate: float, *, per_site: bool, device: torch.device
) -> list[Tensor]:
    """Random 0 or 1/(1-rate) multipliers for `layers` hidden layers, from torch's global generator.

    Args:
        members: M.
        sites: B.
        width: H.
        layers: Hidden layers.
        rate: Share of units set to 0.
        per_site: True draws (M, B, H), False one draw per unit for the whole batch, (M, 1, H), which is nearly free.
        device: Where.
    """
    shape = (layers, members, sites if per_site else 1, width)
    if device.type == "cpu" and per_site:
        # a byte per unit is many times faster than Bernoulli draws; the rate is rounded to 1/256
        cut = min(round(rate * 256), 255)
        keep = torch.randint(-(2**63), 2**63 - 1, (-(-math.prod(shape) // 8),)).view(torch.uint8)
        keep = keep[: math.prod(shape)].view(shape) >= cut
        return list((keep.to(torch.float32) * (256.0 / (256 - cut))).unbind(0))
    return list((torch.rand(shape, device=device) >= rate).float().div_(1.0 - rate).unbind(0))
