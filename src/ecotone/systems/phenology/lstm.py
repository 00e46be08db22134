"""Baseline: a long short-term memory network on the temperatures of a season, answering with a hazard per day.

As in the published comparison (two layers, a sigmoid per day), with differences that make it a stronger rival on few
seasons: two layers of 32 on daily minimum, maximum and mean err less than 128 on 24 hourly inputs (`hidden=128,
inputs="hourly"`) and take a quarter of the time; the day's output is the probability of blooming today if not yet (so that the
answer is a distribution and censored seasons count), the site enters as a learned vector that is zero for a site without
training seasons, and training stops on whole held-out years. The network runs forward in time only: the probability of
bloom by a day rests on weather up to that day.

Letters: N seasons, S days, F inputs per day, G sites, M members.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np

from ecotone.data.seasons import Seasons, Status
from ecotone.errors import InputError, UsageError
from ecotone.stats.season_splits import validation_years
from ecotone.systems.phenology.distribution import BloomDays

if TYPE_CHECKING:
    import torch

Array = np.ndarray
_AFTER = 3  # days beyond the last training bloom over which the training loss runs


@dataclass
class LstmPhenology:
    """An ensemble of recurrent networks; its answer is the mean of their distributions.

    Attributes:
        members: M networks, each with its own start, order and held-out years.
        seed: Of all of them.
        inputs: "hourly" 24 temperatures a day, or "daily" minimum, maximum and mean.
        hidden: Width of the two layers.
        epochs: At most.
        patience: Epochs without a better held-out loss before stopping.
        rate: Learning rate of Adam at its highest.
        batch: Seasons per step.
        site_width: Length of the learned site vector; 0 for none.
        validation: Share of the training years held out to stop in time.
    """

    members: int = 3
    seed: int = 0
    inputs: Literal["hourly", "daily"] = "daily"
    hidden: int = 32
    epochs: int = 60
    patience: int = 10
    rate: float = 3e-3
    batch: int = 32
    site_width: int = 4
    validation: float = 0.2
    _networks: list[Any] = field(default_factory=list, init=False, repr=False)
    history: list[list[float]] = field(default_factory=list, init=False, repr=False)

    def __post_init__(self) -> None:
        if min(self.members, self.hidden, self.epochs, self.batch) < 1 or self.inputs not in ("hourly", "daily"):
            raise UsageError("US104", "LSTM", "an option is out of range", "see the documented ranges")

    def fit(self, seasons: Seasons) -> Self:
        """Learns from the seasons with a known or censored bloom.

        Raises:
            InputError: PH655 when there are none.
        """
        train = seasons.take(np.flatnonzero((seasons.status != Status.UNKNOWN) & np.isfinite(seasons.event)))
        if not train.observed.any():
            raise InputError("PH655", "seasons", "none has a known day of bloom", "give observed seasons to learn from")
        raw = self._raw(train)
        self._mean, self._scale = float(np.nanmean(raw)), float(np.nanstd(raw)) or 1.0
        self._site = np.full(len(train.sites), 0)  # 0: no training seasons
        names = np.unique(train.site)
        self._site[names] = np.arange(len(names)) + 1
        x = self._inputs(raw)
        length = min(int(train.event.max()) + 1 + _AFTER, train.length)
        site = self._site[train.site]
        self._networks, self.history = [], []
        for m in range(self.members):
            held = validation_years(train.year, share=self.validation, seed=self.seed * 1000 + m)
            self._networks.append(self._train(x[:, :length], site, train, held, len(names), self.seed * 1000 + m))
        return self

    def predict(self, seasons: Seasons) -> BloomDays:
        """Answers with the median of the ensemble's mean distribution."""
        import torch

        x = torch.from_numpy(self._inputs(self._raw(seasons)))
        site = torch.from_numpy(self._site[seasons.site])
        with torch.no_grad():
            parts = [
                torch.cat([1 - survival(net(x[i : i + 256], site[i : i + 256])).exp() for i in range(0, len(x), 256)])
                for net in self._networks
            ]
        return BloomDays.from_cdf(torch.stack(parts).mean(0).double().numpy())

    def _raw(self, seasons: Seasons) -> Array:
        return seasons.daily if self.inputs == "daily" else seasons.hourly()

    def _inputs(self, raw: Array) -> Array:
        """(N, S, F) float32, standardised; a missing temperature counts as average."""
        return np.nan_to_num((raw - self._mean) / self._scale).astype(np.float32)

    def _train(self, x: Array, site: Array, train: Seasons, held: Array, sites: int, seed: int) -> Any:
        import torch

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            net = network(x.shape[2], self.hidden, sites, self.site_width)
            inputs, where = torch.from_numpy(np.ascontiguousarray(x)), torch.from_numpy(site)
            event = torch.from_numpy(train.event.astype(np.int64).clip(max=x.shape[1] - 1))
            status = torch.from_numpy(train.status.astype(np.int64))
            start = float(np.clip(1 / max(train.event.std(), 1), 1e-3, 0.5))
            net.start(int(np.median(train.event)), start)
            some, watch = torch.from_numpy(np.flatnonzero(~held)), torch.from_numpy(np.flatnonzero(held))
            steps = self.epochs * -(-len(some) // self.batch)
            optimiser = torch.optim.Adam(net.parameters(), lr=self.rate)
            schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, self.rate, total_steps=steps, pct_start=0.15)
            best, since, kept, losses = np.inf, 0, None, []
            for _ in range(self.epochs):
                net.train()
                for rows in some[torch.randperm(len(some))].split(self.batch):
                    optimiser.zero_grad()
                    loss = negative_log(net(inputs[rows], where[rows]), event[rows], status[rows])
                    loss.backward()
                    torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
                    optimiser.step()
                    schedule.step()
                net.eval()
                if len(watch):
                    with torch.no_grad():
                        now = float(negative_log(net(inputs[watch], where[watch]), event[watch], status[watch]))
                    losses.append(now)
                    if now < best - 1e-4:
                        best, since = now, 0
                        kept = {k: v.clone() for k, v in net.state_dict().items()}
                    else:
                        since += 1
                    if since >= self.patience:
                        break
            if kept is not None:
                net.load_state_dict(kept)
            self.history.append(losses)
            return net.eval()


def network(inputs: int, hidden: int, sites: int, width: int) -> Any:
    """The network: (B, S, F) temperatures and (B,) site numbers (0: unknown) to (B, S) logits of today's hazard."""
    import torch
    from torch import nn

    class Net(nn.Module):
        middle: torch.Tensor
        slope: torch.Tensor

        def __init__(self) -> None:
            super().__init__()
            self.site = nn.Embedding(sites + 1, width, padding_idx=0) if width else None
            if self.site is not None:
                nn.init.normal_(self.site.weight, std=0.1)
                with torch.no_grad():
                    self.site.weight[0] = 0.0
            self.lstm = nn.LSTM(inputs + width + 1, hidden, num_layers=2, batch_first=True, dropout=0.1)
            self.out = nn.Linear(hidden + width, 1)
            self.register_buffer("middle", torch.tensor(180.0))
            self.register_buffer("slope", torch.tensor(0.1))

        def start(self, middle: int, slope: float) -> None:
            """A hazard that grows around the middle of the training blooms: the network learns departures from it."""
            self.middle.fill_(middle)
            self.slope.fill_(slope)
            with torch.no_grad():
                self.out.weight.mul_(0.1)
                self.out.bias.fill_(-2.0)

        def forward(self, x: torch.Tensor, site: torch.Tensor) -> torch.Tensor:
            day = (torch.arange(x.shape[1], device=x.device) - self.middle) * self.slope
            parts = [x, (day / 3).expand(len(x), -1)[..., None]]
            beside = []
            if self.site is not None:
                if self.training:  # sometimes unnamed, so that a new site gets a sensible answer
                    site = torch.where(torch.rand(len(site)) < 0.15, torch.zeros_like(site), site)
                beside = [self.site(site)[:, None].expand(-1, x.shape[1], -1)]
            states, _ = self.lstm(torch.cat([*parts, *beside], dim=-1))
            return self.out(torch.cat([states, *beside], dim=-1))[..., 0] + day

    return Net()


def survival(logits: torch.Tensor) -> torch.Tensor:
    """(B, S) log probability of no bloom by the end of each day, from logits of the hazard."""
    from torch.nn.functional import logsigmoid

    return logsigmoid(-logits).cumsum(dim=-1)


def negative_log(logits: torch.Tensor, event: torch.Tensor, status: torch.Tensor) -> torch.Tensor:
    """Mean negative log-likelihood: bloom on the day, after it, or by it.

    Args:
        logits: (B, S) of the hazard.
        event: (B,) day indices.
        status: (B,) `Status` codes.
    """
    import torch
    from torch.nn.functional import logsigmoid

    log_survival = survival(logits)
    at = event[:, None]
    until = log_survival.gather(1, at)[:, 0]
    before = torch.where(event > 0, log_survival.gather(1, (at - 1).clamp(min=0))[:, 0], torch.zeros_like(until))
    on = before + logsigmoid(logits.gather(1, at)[:, 0])
    by = torch.log(-torch.expm1(until.clamp(max=-1e-6)))
    chosen = torch.where(status == int(Status.OBSERVED), on, torch.where(status == int(Status.AFTER), until, by))
    return -chosen.mean()
