"""The loss of a step and its gradient from sparse records, without a dense (B, S) label matrix.

The loss needs the logits in two ways: at the records, and summed per species over sites. So the one dense (M, B, S)
array, the logits, is turned in place into the gradient (n_j q_ij - y_ij) / (B S). Letters: M members, B sites of the
batch, F features, S species.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ecotone.losses.shared_batch import Shared, all_sum, highest
from ecotone.losses.sparse_counts import SparseCounts
from ecotone.systems.deepmaxent.network import StackedNetwork, hidden_layers, parameter_gradients


def sparse_loss(
    network: StackedNetwork,
    features: Tensor,
    counts: SparseCounts,
    log_weight: Tensor | None,
    species_weight: Tensor | None,
    masks: Sequence[Tensor] | None,
    shared: Shared | None = None,
) -> Tensor:
    """`normalised_poisson(network(features, masks), counts, ...)` with the gradient written out by hand.

    Args:
        network: The networks.
        features: (M, B, F).
        counts: (M, B, S) records.
        log_weight: (M, B) or None.
        species_weight: (S,) or None.
        masks: As in `StackedNetwork.forward`.
        shared: How the batch is shared out over processes; None for one.

    Returns:
        Scalar with gradients to every parameter.
    """
    if network.input_mask is not None:
        features = features * network.input_mask.unsqueeze(1)
    if species_weight is not None:
        counts = counts.times(species_weight)
    parameters = [p for pair in zip(network.weights, network.biases, strict=True) for p in pair]
    return _SparseFused.apply(features, counts, log_weight, masks, shared, *parameters)


class _SparseFused(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        counts: SparseCounts,
        log_weight: Tensor | None,
        masks: Sequence[Tensor] | None,
        shared: Shared | None,
        *parameters: Tensor,
    ) -> Tensor:
        weights, biases = parameters[0::2], parameters[1::2]
        hidden, rectified = hidden_layers(x, weights, biases, masks)
        f = torch.baddbmm(biases[-1].unsqueeze(1), hidden[-1], weights[-1].transpose(1, 2))  # (M, B, S)
        flat = f.view(-1)
        sites = f.shape[1] if shared is None else shared.sites
        scale = 1.0 / (sites * f.shape[2])
        fit = (flat.index_select(0, counts.place) * counts.values).sum()
        records = counts.per_species()
        if log_weight is not None:
            f += log_weight.unsqueeze(-1)
        if shared is None:
            top = f.amax(1)
            top = torch.where(torch.isneginf(top), 0.0, top)
            mass = f.sub_(top.unsqueeze(1)).exp_().sum(1)
        else:
            top = highest(f)
            mass = all_sum(f.sub_(top.unsqueeze(1)).exp_().sum(1))
            fit, records = all_sum(fit), all_sum(records)
        normaliser = torch.where(records > 0, records * (mass.log() + top), 0.0)
        loss = (normaliser.sum() - fit) * scale
        # dL/df = (n q - y) / (B S), in the place of exp(f)
        f.mul_(torch.where(mass > 0, records * scale / mass, 0.0).unsqueeze(1))
        flat.index_add_(0, counts.place, counts.values, alpha=-scale)
        ctx.gradients = parameter_gradients(f, hidden, rectified, weights, masks)
        ctx.world = 1 if shared is None else shared.world
        return loss

    @staticmethod
    def backward(ctx: Any, *outputs: Tensor) -> tuple[Tensor | None, ...]:
        factor = float(outputs[0]) * ctx.world
        scaled = [g if g is None or factor == 1.0 else g * factor for g in ctx.gradients]
        ctx.gradients = None
        return (None, None, None, None, None, *scaled)
