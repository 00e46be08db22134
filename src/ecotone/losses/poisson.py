"""Plain Poisson likelihood of counts per site and species: the normalised loss without its normaliser."""

from __future__ import annotations

from torch import Tensor


def poisson(log_intensity: Tensor, counts: Tensor, site_weight: Tensor | None = None) -> Tensor:
    """Mean over sites and species of exp(f) - y f, summed over leading dimensions.

    Args:
        log_intensity: (..., B, S) f.
        counts: (..., B, S) records y.
        site_weight: (..., B) weight of the exp(f) term (quadrature), or None for 1.

    Returns:
        Scalar.
    """
    intensity = log_intensity.clamp(max=80.0).exp()
    if site_weight is not None:
        intensity = intensity * site_weight.unsqueeze(-1)
    return (intensity - counts * log_intensity).mean((-2, -1)).sum()
