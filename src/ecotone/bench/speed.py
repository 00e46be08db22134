"""`ecotone bench speed`: stacked training against a plain loop, in one run, as ratios.

1. Equal mathematics: the paper's recipe in fp32, all seeds as one stack against one network after the other in plain
   torch, from the same initial weights and site order; the weights are compared after 100 steps.
2. End to end: our preset with its validation of the background for all seeds and jobs, against the plain loop.
"""

from __future__ import annotations

import statistics
import time
from typing import Any

import numpy as np
import torch
from pydantic import Field
from torch import nn

from ecotone.bench.jobs import Job, nceas_hash, nceas_jobs
from ecotone.bench.nceas import data_folder, fit_own
from ecotone.bench.registry import BenchResult
from ecotone.contract import Options as Base
from ecotone.data.features import FeatureMap
from ecotone.files.progress import progress as show_progress
from ecotone.systems.deepmaxent.config import Config
from ecotone.systems.deepmaxent.engine import Member, Sites, StackTask, train_stack
from ecotone.train.task import Position

Array = np.ndarray


class Options(Base):
    """Options of the benchmark.

    Attributes:
        seeds: Networks.
        threads: Threads of torch.
        region: Region of the equal-mathematics part.
        epochs: Its epochs.
        rounds: How often both sides are timed, alternating; the median counts.
        end_to_end: Also time our preset on all jobs against the plain loop.
        plain_seeds: Seeds the plain loop is timed on end to end; its time is scaled to `seeds`.
        device: "cpu" or "cuda".
        folder: The folder with the .rds files; ECOTONE_DATA/nceas by default.
    """

    seeds: int = Field(default=10, ge=1)
    threads: int = Field(default=2, ge=1)
    region: str = "CAN"
    epochs: int = Field(default=100, ge=1)
    rounds: int = Field(default=1, ge=1)
    end_to_end: bool = True
    plain_seeds: int = Field(default=10, ge=1)
    device: str = "cpu"
    folder: str | None = None


class PlainNet(nn.Module):
    """One network as anyone would write it."""

    def __init__(self, features: int, species: int, width: int = 250, blocks: int = 2) -> None:
        super().__init__()
        self.first = nn.Linear(features, width)
        self.blocks = nn.ModuleList(nn.Linear(width, width) for _ in range(blocks))
        self.last = nn.Linear(width, species)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, F) -> (B, S)."""
        x = torch.relu(self.first(x))
        for block in self.blocks:
            x = x + torch.relu(block(x))
        return self.last(x)


def plain_fit(
    net: PlainNet, x: torch.Tensor, y: torch.Tensor, orders: list[Array], *, steps: int | None = None
) -> PlainNet:
    """The paper's recipe, one network: Adam 2e-4, weight decay 3e-4, batch 250, softmax over the batch's sites."""
    optimizer = torch.optim.Adam(net.parameters(), lr=2e-4, weight_decay=3e-4)
    done = 0
    for order in orders:
        index = torch.from_numpy(order.copy()).to(x.device)
        for start in range(0, len(order), 250):
            rows = index[start : start + 250]
            optimizer.zero_grad()
            loss = -(y[rows] * torch.log_softmax(net(x[rows]), dim=0)).mean()
            loss.backward()
            optimizer.step()
            done += 1
            if steps is not None and done >= steps:
                return net
    return net


def run(options: Options, *, progress: bool = True) -> BenchResult:
    """Both parts."""
    before = torch.get_num_threads()
    torch.set_num_threads(options.threads)
    try:
        folder = data_folder(options.folder)
        jobs = nceas_jobs(folder)
        rows = [equal_mathematics(next(j for j in jobs if j.region == options.region), options)]
        if options.end_to_end:
            with show_progress(2 * len(jobs), "end to end", enabled=progress) as bar:
                rows.append(end_to_end(jobs, options, bar.advance))
    finally:
        torch.set_num_threads(before)
    data = nceas_hash(folder)
    rows = [{**row, "seed": f"0-{options.seeds - 1}", "data": data} for row in rows]
    return BenchResult(rows, [_line(r) for r in rows])


def _material(job: Job) -> Sites:
    features = FeatureMap.fit(job.background, job.covariates, levels=job.levels)
    empty = np.empty((0, len(features.names)), np.float32)
    return Sites(features.transform(job.sites), job.counts, np.zeros(len(job.sites)), empty, np.zeros(0))


def _tensors(sites: Sites, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    counts = torch.tensor(sites.counts.toarray(), dtype=torch.float32, device=device)
    return torch.tensor(sites.features, device=device), counts


def twin_nets(task: StackTask) -> list[PlainNet]:
    """Plain networks with the initial weights of a stack's members."""
    nets = []
    network = task.network
    for m in range(network.members):
        net = PlainNet(network.features, network.species, network.width, network.blocks)
        layers: list[Any] = [net.first, *net.blocks, net.last]
        with torch.no_grad():
            for layer, weight, bias in zip(layers, network.weights, network.biases, strict=True):
                layer.weight.copy_(weight[m])
                layer.bias.copy_(bias[m])
        nets.append(net.to(task.device))
    return nets


def orders_of(task: StackTask, epochs: int) -> list[list[Array]]:
    """The site order of each member, epoch by epoch."""
    return [[stream.take(e * task.n, task.n) for e in range(epochs)] for stream in task.streams]


def weight_gap(job: Job, options: Options, steps: int = 100) -> float:
    """Largest difference of any weight below the output bias after some steps, stack against plain loop."""
    sites = _material(job)
    device = torch.device(options.device)
    task = StackTask(sites, [Member(seed=s) for s in range(options.seeds)], Config(preset="paper"), device)
    nets, orders = twin_nets(task), orders_of(task, -(-steps // task.steps_per_epoch()))
    optimizer, per_epoch = task.optimizer(), task.steps_per_epoch()
    for step in range(steps):
        optimizer.zero_grad()
        task.loss(task.module, task.batch(Position(step // per_epoch, step % per_epoch, step)))["loss"].backward()
        optimizer.step()
    x, y = _tensors(sites, device)
    gap = 0.0
    for m, net in enumerate(nets):
        plain_fit(net, x, y, orders[m], steps=steps)
        layers: list[Any] = [net.first, *net.blocks, net.last]
        for layer, weight in zip(layers, task.network.weights, strict=True):
            gap = max(gap, float((layer.weight - weight[m]).detach().abs().max()))
    return gap


def equal_mathematics(job: Job, options: Options) -> dict[str, Any]:
    """Times the paper's recipe both ways."""
    sites = _material(job)
    config = Config(preset="paper", epochs=options.epochs, device="cuda" if options.device == "cuda" else "cpu")
    members = [Member(seed=s) for s in range(options.seeds)]
    device = torch.device(options.device)
    x, y = _tensors(sites, device)
    train_stack(sites, members, config.model_copy(update={"epochs": 1}))  # first use pays for imports
    stacked, plain = [], []
    for _ in range(options.rounds):
        start = time.perf_counter()
        train_stack(sites, members, config)
        stacked.append(time.perf_counter() - start)
        task = StackTask(sites, members, config, device)
        nets, orders = twin_nets(task), orders_of(task, options.epochs)
        start = time.perf_counter()
        for net, order in zip(nets, orders, strict=True):
            plain_fit(net, x, y, order)
        if device.type == "cuda":
            torch.cuda.synchronize()
        plain.append(time.perf_counter() - start)
    a, b = statistics.median(stacked), statistics.median(plain)
    return {
        "part": "equal mathematics",
        "region": job.region,
        "seeds": options.seeds,
        "threads": options.threads,
        "device": options.device,
        "stacked_s": round(a, 2),
        "plain_s": round(b, 2),
        "ratio": round(b / a, 3),
        "weight_gap_100_steps": weight_gap(job, options),
    }


def end_to_end(jobs: list[Job], options: Options, advance: Any = lambda: None) -> dict[str, Any]:
    """Times our preset, validation included, and the plain loop of the paper's recipe; both with their AUC."""
    ours, plain = 0.0, 0.0
    scores: dict[str, dict[str, list[float]]] = {"ours": {}, "plain": {}}
    device = torch.device(options.device)
    for job in jobs:
        start = time.perf_counter()
        model = fit_own(job, members=options.seeds, device="cuda" if options.device == "cuda" else "cpu")
        ours += time.perf_counter() - start
        member = {s.name: model.log_relative(s.env, unseen="baseline") for s in job.surveys}
        for m in range(options.seeds):
            scores["ours"].setdefault(job.region, []).extend(job.auc({k: v[m] for k, v in member.items()}).values())
        advance()
        start = time.perf_counter()
        sites = _material(job)
        x, y = _tensors(sites, device)
        nets = []
        for seed in range(options.plain_seeds):
            torch.manual_seed(seed)
            rng = np.random.default_rng(seed)
            net = PlainNet(x.shape[1], y.shape[1]).to(device)
            nets.append(plain_fit(net, x, y, [rng.permutation(len(x)) for _ in range(100)]))
        plain += (time.perf_counter() - start) * options.seeds / options.plain_seeds
        features = FeatureMap.fit(job.background, job.covariates, levels=job.levels)
        for net in nets:
            with torch.inference_mode():
                answers = {
                    s.name: net(torch.from_numpy(features.transform(s.env, unseen="baseline")).to(device)).cpu().numpy()
                    for s in job.surveys
                }
            scores["plain"].setdefault(job.region, []).extend(job.auc(answers).values())
        advance()
    mean = {k: float(np.mean([np.nanmean(v) for v in table.values()])) for k, table in scores.items()}
    return {
        "part": "end to end",
        "seeds": options.seeds,
        "threads": options.threads,
        "device": options.device,
        "ours_s": round(ours, 1),
        "plain_s": round(plain, 1),
        "ratio": round(plain / ours, 2),
        "auc_ours": round(mean["ours"], 4),
        "auc_plain": round(mean["plain"], 4),
    }


def _line(row: dict[str, Any]) -> str:
    return "  ".join(f"{key} {value}" for key, value in row.items())
