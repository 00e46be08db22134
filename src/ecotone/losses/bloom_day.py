"""Log-likelihood of a bloom day under a cumulative distribution that is a logistic function of progress.

Bloom has come by the end of day t with probability sigmoid(z_t), z non-decreasing; a bloom on day y therefore has the
probability sigmoid(z_y) - sigmoid(z_{y-1}). The published code takes the logarithm of that difference plus 1e-6; here the
logarithm itself is computed, so that far-off days keep their gradient, and censored seasons have their own terms.
Source: van Bree, Marcos, Athanasiadis (2025, arXiv 2501.16848), the negative log-likelihood loss, completed by survival terms.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

LEAST = 1e-6  # smallest progress of a day: a day without warmth has a tiny chance all the same


def log_likelihood(z: Tensor, z_before: Tensor, after: Tensor, before: Tensor) -> Tensor:
    """Log-probability of what is known of each season.

    Args:
        z: (...) progress at the end of the day of the event.
        z_before: (...) progress at the end of the day before.
        after: (...) bool, right-censored: not bloomed by the end of the day, log(1 - sigmoid(z)).
        before: (...) bool, left-censored: bloomed by the end of the day, log sigmoid(z).

    Returns:
        (...) log-probabilities, at most 0.
    """
    gap = (z - z_before).clamp(min=LEAST)
    on_day = logsigmoid(z) + logsigmoid(-z_before) + torch.log(-torch.expm1(-gap))
    return torch.where(after, logsigmoid(-z), torch.where(before, logsigmoid(z), on_day))


def with_outliers(log_likelihood: Tensor, share: float, days: int, censored: Tensor) -> Tensor:
    """Mixes in a small share of records that may lie on any day of the season, so that one misprint bends nothing.

    Args:
        log_likelihood: (...) of `log_likelihood`.
        share: Of such records, 0 to switch off.
        days: S.
        censored: (...) bool; a censored season of that kind has probability one half.
    """
    if share <= 0:
        return log_likelihood
    stray = torch.where(censored, math.log(share * 0.5), math.log(share / days)).to(log_likelihood)
    return torch.logaddexp(log_likelihood + math.log1p(-share), stray)
