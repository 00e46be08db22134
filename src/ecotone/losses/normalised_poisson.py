"""The normalised Poisson loss of DeepMaxent: per species, which of the sites are its sites.

Source: arXiv 2412.19217, "normalised intensity"; the per-site log-weight is ours and turns the one formula into
target-group background, uniform background, mixtures, bias layers, thinning and quadrature.

Letters: ... any leading dimensions (ensemble members), B sites of the batch, S species.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ecotone.losses.shared_batch import Shared
from ecotone.losses.sparse_counts import SparseCounts


def normalised_poisson(
    log_intensity: Tensor,
    counts: Tensor | SparseCounts,
    log_weight: Tensor | None = None,
    species_weight: Tensor | None = None,
    log_partition: Tensor | None = None,
    *,
    shared: Shared | None = None,
) -> Tensor:
    r"""Maximum-entropy loss over sites.

    With site weights w and q_ij = w_i exp(f_ij) / sum_k w_k exp(f_kj),

    .. math:: L = -\frac{1}{BS} \sum_{ij} a_j\, y_ij \left(f_{ij} - \log \sum_k w_k e^{f_{kj}}\right)

    which for w = 1, a = 1 is the published loss. A site with log-weight -inf is no background but may hold records.

    Args:
        log_intensity: (..., B, S) f.
        counts: (..., B, S) records y, not negative; as `SparseCounts` they are never made dense.
        log_weight: (..., B) log w, or None for 0.
        species_weight: (..., S) a, or None for 1.
        log_partition: (..., S) the normaliser to use instead of the batch's own, for example over all sites.
        shared: How the batch is shared out over processes; B are then the sites of this one, and the loss is that of the
            whole batch, as `ecotone.losses.shared_batch` explains.

    Returns:
        Scalar: summed over leading dimensions, so that each ensemble member has its own unscaled gradient.
    """
    if log_partition is None:
        log_partition = partition(log_intensity, log_weight, shared)
    return _mean_misfit(log_intensity, counts, _records(counts, shared), log_partition, species_weight, shared)


def partition(log_intensity: Tensor, log_weight: Tensor | None = None, shared: Shared | None = None) -> Tensor:
    """(..., S) log of the weighted sum over sites of the intensity; over those of all processes if shared."""
    if shared is not None:
        return shared.partition(log_intensity, log_weight)
    if log_weight is not None:
        log_intensity = log_intensity + log_weight.unsqueeze(-1)
    return torch.logsumexp(log_intensity, dim=-2)


def with_running_partition(
    log_intensity: Tensor,
    counts: Tensor | SparseCounts,
    running: Tensor,
    log_weight: Tensor | None = None,
    species_weight: Tensor | None = None,
    *,
    records: Tensor | None = None,
    log_scale: float = 0.0,
    momentum: float = 0.98,
    shared: Shared | None = None,
) -> tuple[Tensor, Tensor]:
    """The loss with a remembered normaliser, whose bias does not grow as the batch shrinks.

    The gradient of log Z is estimated as grad(Z_batch) / Z_running, where Z_running is a moving average over steps of the
    batch's Z scaled to all sites (the estimator of stochastic compositional optimisation). It multiplies the records
    *expected* in a batch: those that happen to be in it vary together with Z_batch, which alone makes a bias of order
    1/B, larger than that of the batch's own normaliser.

    Args:
        log_intensity: (..., B, S) f.
        counts: (..., B, S) records.
        running: (..., S) log Z_running; entries of -inf are not started yet.
        log_weight: (..., B) log w.
        species_weight: (..., S) a.
        records: (..., S) records expected in a batch of B sites, B / K times the total; the batch's own for None.
        log_scale: log of (weight of all sites / expected weight of a batch).
        momentum: Share of the old average kept, between 0 and 1.
        shared: How the batch is shared out over processes, as in `normalised_poisson`.

    Returns:
        The scalar loss (its value uses Z_running, its gradient the estimator above) and the new (..., S) running log Z.
    """
    log_batch = partition(log_intensity, log_weight, shared) + log_scale
    fresh = log_batch.detach()
    mixed = torch.logaddexp(running + math.log(momentum), fresh + math.log1p(-momentum))
    updated = torch.where(torch.isneginf(running), fresh, mixed)
    ratio = torch.exp(log_batch - updated)  # gradient: grad(Z_batch) / Z_running
    log_partition = updated + ratio - ratio.detach()
    records = _records(counts, shared) if records is None else records
    return _mean_misfit(log_intensity, counts, records, log_partition, species_weight, shared), updated


def _records(counts: Tensor | SparseCounts, shared: Shared | None) -> Tensor:
    """(..., S) records of each species in the batch."""
    own = counts.per_species() if isinstance(counts, SparseCounts) else counts.sum(-2)
    return own if shared is None else shared.total(own)


def _mean_misfit(
    log_intensity: Tensor,
    counts: Tensor | SparseCounts,
    records: Tensor,
    log_partition: Tensor,
    species_weight: Tensor | None,
    shared: Shared | None,
) -> Tensor:
    """-(1 / BS) sum_j a_j (sum_i y_ij f_ij - n_j log Z_j), summed over leading dimensions."""
    n_sites, n_species = log_intensity.shape[-2:]
    own = counts.fit(log_intensity) if isinstance(counts, SparseCounts) else (counts * log_intensity).sum(-2)
    if shared is not None:
        n_sites, own = shared.sites, shared.total(own)
    # a species without records has no part in the loss; 0 * -inf must not make it nan
    fit = own - torch.where(records > 0, records * log_partition, 0.0)
    if species_weight is not None:
        fit = fit * species_weight
    return -fit.sum() / (n_sites * n_species)
