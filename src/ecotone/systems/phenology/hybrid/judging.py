"""What is read off a finished fit: which members are as good as the best, what the judged ones say of their held-out years.

Letters: N seasons, S days, H held-out seasons.
"""

from __future__ import annotations

import numpy as np
import torch

from ecotone.losses.bloom_day import log_likelihood, with_outliers
from ecotone.systems.phenology.hybrid.features import Features
from ecotone.systems.phenology.hybrid.members import Fit
from ecotone.systems.phenology.hybrid.model import Core, Parameters
from ecotone.systems.phenology.hybrid.train import losses
from ecotone.systems.phenology.hybrid.uncertainty import take

Array = np.ndarray
CLEARLY = 2.0  # standard errors by which a member must fit worse than the best to be dropped


def as_good(core: Core, p: Parameters, f: Features, fit: Fit, outliers: float) -> Array:
    """Members that are not clearly worse than the best on the seasons learned from: within twice the paired standard error."""
    with torch.no_grad():
        each = losses(core, p, f, outliers).numpy()[:, fit.rows].astype(float)
    gap = each - each[each.mean(1).argmin()]
    error = gap.std(1, ddof=1) / gap.shape[1] ** 0.5
    return np.flatnonzero(gap.mean(1) <= CLEARLY * error + 1e-9)


def held_out(core: Core, p: Parameters, f: Features, fit: Fit) -> dict[str, Array] | None:
    """Progress of held-out seasons by the member that did not see them: row (H,), fold (H,), z (H, S)."""
    if not len(fit.folds):
        return None
    fold = np.where(fit.folds.any(0), fit.folds.argmax(0), -1)
    z = np.zeros((len(f), f.days))
    for k in range(len(fit.folds)):
        own = np.flatnonzero(fold == k)
        if len(own):
            with torch.no_grad():
                one = {name: v[k : k + 1] for name, v in p.items()}
                z[own] = core.course(one, take(f, torch.from_numpy(own))).progress[0].numpy()
    rows = np.flatnonzero(fold >= 0)
    return {"row": rows, "fold": fold[rows], "z": z[rows]}


def scale(held: dict[str, Array] | None, f: Features) -> float:
    """The factor on progress under which held-out bloom days are likeliest; 1 without held-out years."""
    if held is None:
        return 1.0
    row = torch.from_numpy(held["row"])
    z = torch.from_numpy(held["z"])
    at = f.event[row]
    now = z.gather(1, at[:, None])[:, 0]
    before = torch.where(at > 0, z.gather(1, (at - 1).clamp(min=0)[:, None])[:, 0], torch.full_like(now, -60.0))
    best, found = -np.inf, 1.0
    for factor in np.exp(np.linspace(np.log(0.3), np.log(2.0), 39)):
        value = log_likelihood(factor * now, factor * before, f.after[row], f.before[row])
        total = float(with_outliers(value, 0.01, f.days, f.after[row] | f.before[row]).mean())
        if total > best:
            best, found = total, float(factor)
    return found
