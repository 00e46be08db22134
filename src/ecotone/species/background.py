"""What a species is compared with: one log-weight per site, whatever the background.

In the loss, q_ij = w_i exp(f_ij) / sum_k w_k exp(f_kj). All of these are choices of w:

=====================  ==========================================================================
target group           w = 1 at sites with a record of any species, nothing elsewhere
uniform                w = cell area at random valid cells (1 on projected grids, cos latitude on lon/lat)
mixture                target-group sites share 1 - a of the weight, uniform cells share a
bias raster            w = relative effort at the site
thinning               w = 1 / number of sites in the site's neighbourhood
quadrature             w = area a site stands for
=====================  ==========================================================================
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ecotone.errors import InputError

Array = np.ndarray

MIN_SITES = 30  # fewer sites than this cannot describe where people looked
MAX_SMOOTHING = 0.1
PRESENCE_FLOOR = 0.01  # under a uniform background the cells with records are cells too: at most this share


@dataclass(frozen=True)
class BackgroundChoice:
    """Which background was used and why, for the report.

    Attributes:
        kind: "target_group", "mixture" or "uniform".
        uniform_share: Share of the background weight on uniform cells.
        reason: One sentence.
    """

    kind: str
    uniform_share: float
    reason: str


def undefined_target_group(n_sites_with_records: int, n_sites: int, n_species: int) -> str | None:
    """Why target-group background cannot be used, or None when it can.

    With one species every site with a record is a presence, so nothing is left to compare with.

    Args:
        n_sites_with_records: Sites with a record of any species.
        n_sites: All sites given, with or without records.
        n_species: Species with records.
    """
    if n_sites > n_sites_with_records:
        return None  # the caller gave visited sites without records: they are the target group's sites
    if n_species < 2:
        return "there is one species, so every site with a record is a presence"
    if n_sites_with_records < MIN_SITES:
        return f"only {n_sites_with_records} sites hold records (at least {MIN_SITES} are needed)"
    return None


def decide(
    requested: str,
    share: float,
    base: float = 0.0,
    *,
    undefined: str | None,
    has_uniform: bool,
) -> BackgroundChoice | None:
    """Turns the option into a choice; None leaves the share to blocked validation.

    Args:
        requested: The `background` option.
        share: The `uniform_share` option.
        base: Share that smoothing gives to uniform cells under a target group.
        undefined: Why target group is undefined, or None.
        has_uniform: Whether uniform cells were given.

    Raises:
        InputError: DA405 when target group is asked for but undefined, DA404 when uniform cells are needed but not given.
    """
    if requested in ("target_group", "mixture") and undefined is not None:
        raise InputError(
            "DA405",
            "background",
            f"target-group background is undefined: {undefined}",
            "use background=uniform or auto",
        )
    needs_uniform = requested in ("uniform", "mixture") or (requested == "auto" and undefined is not None)
    if needs_uniform and not has_uniform:
        if requested == "auto":
            raise InputError(
                "DA405", "background", f"target-group background is undefined: {undefined}", "pass background sites"
            )
        raise InputError("DA404", "background", f"background={requested} needs background sites", "pass them to fit")
    if requested == "target_group":
        return BackgroundChoice("target_group", base, "asked for")
    if requested == "mixture":
        return BackgroundChoice("mixture", share, "asked for")
    if requested == "uniform":
        return BackgroundChoice("uniform", 1.0, "asked for")
    if undefined is not None:
        return BackgroundChoice("uniform", 1.0, f"target group is undefined: {undefined}")
    if not has_uniform:
        return BackgroundChoice("target_group", base, "no uniform cells were given to compare with")
    return None


def smoothing_share(smoothing: float, n_sites: int) -> float:
    """Share of uniform cells that stands for `smoothing` pseudo-sites among `n_sites` target-group sites.

    It is Laplace smoothing of the target group: strong when sites are few, vanishing as they grow.
    """
    return min(MAX_SMOOTHING, smoothing / max(n_sites, 1))


def effective_share(share: float, n_sites: int, n_uniform: int) -> float:
    """The share used in the softmax: a uniform background still holds the cells with records.

    Args:
        share: Requested share on uniform cells, 0..1.
        n_sites: Sites with records.
        n_uniform: Uniform cells.
    """
    return min(share, 1.0 - min(PRESENCE_FLOOR, n_sites / max(n_uniform, 1)))


def site_log_weight(weight: Array | None, name: str, n: int) -> Array:
    """(n,) log of weights scaled to mean 1; zeros for None.

    Raises:
        InputError: DA404 for a wrong length, DA403 for weights that are not finite, negative or all zero.
    """
    if weight is None or n == np.size(weight) == 0:
        return np.zeros(n)
    weight = np.asarray(weight, dtype=np.float64).ravel()
    if weight.shape != (n,):
        raise InputError("DA404", name, f"{weight.size} weights for {n} sites", "pass one weight per site")
    if not np.isfinite(weight).all() or (weight < 0).any() or not (weight > 0).any():
        raise InputError(
            "DA403", name, "weights must be finite, not negative and not all zero", "check the bias raster"
        )
    with np.errstate(divide="ignore"):
        return np.log(weight / weight.mean())


def thinning_weight(x: Array, y: Array, distance: float) -> Array:
    """(N,) 1 / number of sites within `distance`, so that a cluster counts as one site.

    Args:
        x: (N,) coordinates, same unit as `distance`.
        y: (N,) coordinates.
        distance: Radius; 0 gives ones.
    """
    if distance <= 0:
        return np.ones(len(x))
    from scipy.spatial import KDTree

    tree = KDTree(np.column_stack([x, y]))
    return 1.0 / tree.query_ball_point(np.column_stack([x, y]), distance, return_length=True)
