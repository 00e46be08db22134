"""A vision transformer for images of any size and channel count, with patches that can be dropped for real.

The same class holds DINOv2 with and without registers, the image towers of CLIP and SigLIP (`ecotone.nn.pretrained`), and small
ones trained from scratch. Patches that are not kept are no keys from the first layer on; packed, they are not computed at all,
and what they show cannot reach the output. Letters: B images, C channels, N patches, P prefix tokens, D width, H W grid.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, interpolate

from ecotone.errors import InputError
from ecotone.nn.attention import Attention


@dataclass(frozen=True)
class ViTConfig:
    """Shape of a vision transformer.

    Attributes:
        image_size: Pixels of a side the position embedding is stored for, a multiple of `patch`.
        patch: Pixels of a patch's side.
        width: D.
        depth: Blocks.
        heads: Attention heads.
        channels: C.
        hidden: Width of the hidden layer of a block, in units of D.
        registers: Register tokens.
        class_token: Whether there is a class token.
        stem: "linear" projection of a patch's pixels; "mlp" with a hidden layer, which learns better from few images; "conv",
            overlapping convolutions, which learn best but see beyond the patch.
        pre_norm: A norm before the first block (CLIP).
        patch_bias: Whether the linear stem has a bias.
        layer_scale: Initial factor of each block's branches, or None for no such factors.
        activation: Of the hidden layers.
        eps: Of the norms.
        antialias: Whether position embeddings are smoothed when they are shrunk.
    """

    image_size: int
    patch: int
    width: int
    depth: int
    heads: int
    channels: int = 3
    hidden: float = 4.0
    registers: int = 0
    class_token: bool = True
    stem: Literal["linear", "mlp", "conv"] = "linear"
    pre_norm: bool = False
    patch_bias: bool = True
    layer_scale: float | None = None
    activation: Literal["gelu", "quick_gelu", "gelu_tanh"] = "gelu"
    eps: float = 1e-6
    antialias: bool = True

    @property
    def prefix(self) -> int:
        """P, class token and registers."""
        return self.registers + int(self.class_token)

    @property
    def local(self) -> bool:
        """Whether a token starts from the pixels of its own patch only, which certificates need."""
        return self.stem != "conv"


class Tokens(NamedTuple):
    """What a transformer says of B images.

    Attributes:
        prefix: (B, P, D), class token first.
        patches: (B, N, D); 0 where a patch was dropped.
        grid: H, W with H W = N.
        keep: (B, N) bool of patches that were kept, or None for all.
    """

    prefix: Tensor
    patches: Tensor
    grid: tuple[int, int]
    keep: Tensor | None = None

    def maps(self) -> Tensor:
        """(B, D, H, W) patch features."""
        return self.patches.transpose(1, 2).unflatten(2, self.grid)

    def summary(self, class_token: bool = True) -> Tensor:
        """(B, D) class token, or where there is none the mean of the kept patches."""
        if class_token and self.prefix.shape[1]:
            return self.prefix[:, 0]
        if self.keep is None:
            return self.patches.mean(1)
        kept = self.keep.to(self.patches.dtype)
        return (self.patches * kept[..., None]).sum(1) / kept.sum(1, keepdim=True).clamp_min(1)


class VisionTransformer(nn.Module):
    """The transformer of a `ViTConfig`, randomly initialised."""

    def __init__(self, config: ViTConfig) -> None:
        super().__init__()
        self.config = config
        side = config.image_size // config.patch
        self.stem = _stem(config)
        self.position = nn.Parameter(torch.randn(1, side * side, config.width) * 0.02)
        self.prefix = nn.Parameter(torch.randn(1, config.prefix, config.width) * 0.02)
        self.pre_norm = nn.LayerNorm(config.width, eps=config.eps) if config.pre_norm else nn.Identity()
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.depth))
        self.norm = nn.LayerNorm(config.width, eps=config.eps)

    @property
    def width(self) -> int:
        """D."""
        return self.config.width

    @property
    def stride(self) -> int:
        """Pixels between neighbouring places of the feature map."""
        return self.config.patch

    def maps(self, images: Tensor) -> Tensor:
        """(B, C, S, T) images -> (B, D, H, W) patch features."""
        return self(images).maps()

    def forward(
        self, images: Tensor, *, keep: Tensor | None = None, gate: Tensor | None = None, packed: bool = True
    ) -> Tokens:
        """Features of patches and prefix tokens.

        Args:
            images: (B, C, S, T), sides multiples of the patch.
            keep: (B, H, W) bool, patches that may be seen; None for all.
            gate: (B, H, W), 0 or 1: which patches may be seen, with a derivative (`ecotone.nn.attention.gated_attention`). The
                derivative by a gate of 0 needs its patch computed: with a gate, `keep` names patches to compute although they are
                not seen (see `quota_of`).
            packed: Compute kept patches only; otherwise all are computed, and dropped ones are hidden.

        Raises:
            InputError: IM704 for another number of channels, IM706 for sizes that are no multiples of the patch.
        """
        return self.encode(self.embed(images), self.grid_of(images), keep=keep, gate=gate, packed=packed)

    def grid_of(self, images: Tensor) -> tuple[int, int]:
        """H, W of the patches of images.

        Raises:
            InputError: IM706.
        """
        height, width = images.shape[-2:]
        patch = self.config.patch
        if height < patch or width < patch or height % patch or width % patch:
            what = f"{width} x {height} pixels do not divide into patches of {patch}"
            raise InputError("IM706", "image", what, f"use sides that are multiples of {patch}")
        return height // patch, width // patch

    def embed(self, images: Tensor) -> Tensor:
        """(B, C, S, T) images -> (B, N, D) patch tokens with positions, before the first block."""
        grid = self.grid_of(images)
        if images.shape[1] != self.config.channels:
            what = f"{images.shape[1]} channels where the model reads {self.config.channels}"
            raise InputError("IM704", "image", what, "give images of the kind the model was trained on")
        return self.stem(images) + self.positions(grid)

    def positions(self, grid: tuple[int, int]) -> Tensor:
        """(1, N, D) position embedding resampled to a grid; exactly the stored one on its own grid."""
        side = self.config.image_size // self.config.patch
        if grid == (side, side):
            return self.position
        stored = self.position.transpose(1, 2).unflatten(2, (side, side))
        antialias = self.config.antialias
        sized = interpolate(stored.float(), size=grid, mode="bicubic", align_corners=False, antialias=antialias)
        return sized.flatten(2).transpose(1, 2).to(self.position.dtype)

    def encode(
        self,
        patches: Tensor,
        grid: tuple[int, int],
        *,
        keep: Tensor | None = None,
        gate: Tensor | None = None,
        packed: bool = True,
    ) -> Tokens:
        """Runs the blocks over patch tokens of `embed`; arguments as in `forward`."""
        batch, count, _ = patches.shape
        prefix = self.prefix.expand(batch, -1, -1)
        kept = None if keep is None else keep.reshape(batch, count)
        factor = None if gate is None else gate.reshape(batch, count)
        wanted = kept if factor is None else factor > 0.5
        if wanted is None:
            out = self._blocks(torch.cat([prefix, patches], 1))
            return Tokens(out[:, : self.config.prefix], out[:, self.config.prefix :], grid)
        if not packed:
            return self._hidden(prefix, patches, grid, wanted, factor)
        return self._packed(prefix, patches, grid, wanted, wanted if kept is None else wanted | kept, factor)

    def _hidden(
        self, prefix: Tensor, patches: Tensor, grid: tuple[int, int], wanted: Tensor, factor: Tensor | None
    ) -> Tokens:
        """All tokens are computed; those not wanted are nobody's key."""
        p = self.config.prefix
        tokens = torch.cat([prefix, patches], 1)
        if factor is None:
            out = self._blocks(tokens, visible=_with_prefix(wanted, p))
        else:
            out = self._blocks(tokens, gate=_with_prefix(factor, p))
        return Tokens(out[:, :p], out[:, p:] * wanted[..., None], grid, wanted)

    def _packed(
        self,
        prefix: Tensor,
        patches: Tensor,
        grid: tuple[int, int],
        wanted: Tensor,
        computed: Tensor,
        factor: Tensor | None,
    ) -> Tokens:
        """Tokens to compute are moved to the front of their row; rows are as long as the longest."""
        p, width = self.config.prefix, patches.shape[2]
        counts = computed.sum(1)
        longest = int(counts.max())
        order = computed.to(torch.uint8).argsort(dim=1, descending=True, stable=True)[:, :longest]
        filled = torch.arange(longest, device=order.device) < counts[:, None]
        chosen = order[..., None].expand(-1, -1, width)
        # a fill token repeats the prefix, so that nothing of a dropped patch is ever read
        rows = torch.where(filled[..., None], patches.gather(1, chosen), 0.0)
        tokens = torch.cat([prefix, rows], 1)
        if factor is not None:
            out = self._blocks(tokens, gate=_with_prefix(factor.gather(1, order) * filled, p))
        elif bool(filled.all()):
            out = self._blocks(tokens)
        else:
            out = self._blocks(tokens, visible=_with_prefix(filled, p))
        shown = filled & wanted.gather(1, order)
        back = torch.zeros_like(patches).scatter(1, chosen, out[:, p:] * shown[..., None])
        return Tokens(out[:, :p], back, grid, wanted)

    def _blocks(self, x: Tensor, visible: Tensor | None = None, gate: Tensor | None = None) -> Tensor:
        x = self.pre_norm(x)
        for block in self.blocks:
            x = block(x, visible, gate)
        return self.norm(x)


class Block(nn.Module):
    """Attention and a hidden layer, each added to what came in."""

    def __init__(self, config: ViTConfig) -> None:
        super().__init__()
        width, hidden = config.width, round(config.hidden * config.width)
        self.norm1 = nn.LayerNorm(width, eps=config.eps)
        self.attention = Attention(width, config.heads)
        self.norm2 = nn.LayerNorm(width, eps=config.eps)
        self.up = nn.Linear(width, hidden)
        self.down = nn.Linear(hidden, width)
        self.activation = ACTIVATIONS[config.activation]
        scale = config.layer_scale
        self.scale1 = None if scale is None else nn.Parameter(torch.full((width,), scale))
        self.scale2 = None if scale is None else nn.Parameter(torch.full((width,), scale))

    def forward(self, x: Tensor, visible: Tensor | None = None, gate: Tensor | None = None) -> Tensor:
        """(B, N, D) -> (B, N, D)."""
        branch = self.attention(self.norm1(x), visible, gate)
        x = x + (branch if self.scale1 is None else branch * self.scale1)
        branch = self.down(self.activation(self.up(self.norm2(x))))
        return x + (branch if self.scale2 is None else branch * self.scale2)


class PatchStem(nn.Module):
    """Pixels of each patch to a token; sees nothing beyond the patch."""

    def __init__(self, config: ViTConfig) -> None:
        super().__init__()
        self.patch = config.patch
        pixels = config.channels * config.patch**2
        if config.stem == "mlp":
            first = nn.Linear(pixels, 2 * config.width)
            self.project: nn.Module = nn.Sequential(first, nn.GELU(), nn.Linear(2 * config.width, config.width))
        else:
            self.project = nn.Linear(pixels, config.width, bias=config.patch_bias)

    def forward(self, images: Tensor) -> Tensor:
        """(B, C, S, T) -> (B, N, D)."""
        batch, channels, height, width = images.shape
        p = self.patch
        cut = images.reshape(batch, channels, height // p, p, width // p, p)
        return self.project(cut.permute(0, 2, 4, 1, 3, 5).reshape(batch, -1, channels * p * p))


class ConvStem(nn.Module):
    """Overlapping convolutions of stride 2 down to the patch grid; group norms, so that images do not depend on each other."""

    def __init__(self, config: ViTConfig) -> None:
        super().__init__()
        steps = config.patch.bit_length() - 1
        if 2**steps != config.patch or steps < 1:
            raise InputError("IM706", "patch", f"{config.patch} is no power of 2", "use another stem or patch")
        layers: list[nn.Module] = []
        before = config.channels
        for k in range(steps):
            after = max(16, config.width // 2 ** (steps - 1 - k) // 8 * 8)
            layers += [nn.Conv2d(before, after, 3, 2, 1), nn.GroupNorm(4, after), nn.GELU()]
            before = after
        self.layers = nn.Sequential(*layers, nn.Conv2d(before, config.width, 1))

    def forward(self, images: Tensor) -> Tensor:
        """(B, C, S, T) -> (B, N, D)."""
        return self.layers(images).flatten(2).transpose(1, 2)


def quick_gelu(x: Tensor) -> Tensor:
    """The activation of CLIP, x sigmoid(1.702 x)."""
    return x * torch.sigmoid(1.702 * x)


def _gelu_tanh(x: Tensor) -> Tensor:
    return gelu(x, approximate="tanh")


ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {"gelu": gelu, "quick_gelu": quick_gelu, "gelu_tanh": _gelu_tanh}


def quota_of(dropped: Tensor, share: float, generator: torch.Generator | None = None) -> Tensor:
    """A random part of the dropped patches, to be computed with gate 0 so that they get a derivative.

    Args:
        dropped: (B, N) bool.
        share: Part of them, rounded up.
        generator: Where the randomness comes from.

    Returns:
        (B, N) bool; the same number for all images with at least that many dropped patches.
    """
    drawn = torch.rand(dropped.shape, generator=generator, device=dropped.device)
    rank = drawn.masked_fill(~dropped, 2.0).argsort(1).argsort(1)
    count = torch.ceil(dropped.sum(1, keepdim=True) * share)
    return dropped & (rank < count)


def _stem(config: ViTConfig) -> nn.Module:
    return ConvStem(config) if config.stem == "conv" else PatchStem(config)


def _with_prefix(values: Tensor, count: int) -> Tensor:
    return torch.cat([torch.ones_like(values[:, :1]).expand(-1, count), values], 1)
