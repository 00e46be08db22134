"""Made-up evidence of every kind, and a run folder that holds it."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ecotone.contract import Check, Contributions, Curve, Evidence, Gallery, Overlay, Passages, Score, Scores
from ecotone.files.evidence import save_evidence
from ecotone.files.model_folder import write_model
from ecotone.files.run import RunFolder

sys.path.insert(0, str(Path(__file__).parent))

SCRIPT = "<script>alert(1)</script>"


def suitability(rows: int = 120, columns: int = 160) -> np.ndarray:
    """(H, W) a smooth landscape in 0..1 with a sea of nan."""
    y, x = np.mgrid[0 : 1 : rows * 1j, 0 : 1 : columns * 1j]
    bumps = np.exp(-((x - 0.35) ** 2 + (y - 0.6) ** 2) / 0.05) + 0.8 * np.exp(-((x - 0.7) ** 2 + (y - 0.3) ** 2) / 0.03)
    field = np.clip(bumps + 0.08 * np.sin(17 * x) * np.cos(13 * y), 0, 1)
    coast = 0.12 + 0.05 * np.sin(9 * y) + 0.02 * np.sin(31 * y)
    return np.where(x > coast, field, np.nan)


def samples(target: str = "") -> list[Evidence]:
    """At least one item of each kind."""
    rng = np.random.default_rng(3)
    x = np.linspace(-6, 24, 60)
    y = 0.04 + 0.9 * np.exp(-(((x - 11) / 5.5) ** 2))
    rain = np.linspace(150, 2600, 60)
    wet = 0.86 / (1 + np.exp(-(rain - 800) / 170)) + 0.02
    patches = np.clip(rng.normal(0.5, 0.15, (5, 20, 20, 3)) + np.linspace(-0.3, 0.3, 20)[None, None, :, None], 0, 1)
    gallery = Gallery(
        title="Nearest training patches",
        images=patches,
        captions=tuple(f"site {i}" for i in range(5)),
        similarity=np.linspace(0.97, 0.83, 5),
        target=target,
        exact=True,
    )
    child = Contributions(
        title="Inside temperature", names=("linear", "hinge"), values=np.array([0.3, 0.54]), additive=True, total=0.84
    )
    land = suitability()
    points = rng.uniform([-9.5, 37], [2.5, 43.5], (70, 2))
    extent = (-11.0, 3.5, 36.0, 44.0)
    return [
        Overlay(
            title="Suitability",
            weights=land[None],
            names=("suitability",),
            extent=extent,
            points=points,
            exact=True,
            note="Cloglog scale. Circles are the presence records the model learned from.",
            target=target,
        ),
        Curve(
            title="Annual mean temperature",
            x=x,
            y=y,
            x_label="bio1",
            y_label="suitability",
            x_unit="degC",
            y_unit="1",
            lower=np.clip(y - 0.08, 0, 1),
            upper=np.clip(y + 0.08, 0, 1),
            band="90 % of 20 bootstrap fits",
            support=rng.normal(11, 4, 300).clip(1, 20),
            references={"Maxent": np.clip(y * 0.85 + 0.06, 0, 1)},
            note="All other covariates held at their median over presences.",
            target=target,
        ),
        Curve(
            title="Annual precipitation",
            x=rain,
            y=wet,
            x_label="bio12",
            y_label="suitability",
            x_unit="mm",
            y_unit="1",
            lower=wet * 0.85,
            upper=np.minimum(wet * 1.1, 1),
            band="90 % of 20 bootstrap fits",
            support=rng.normal(1100, 300, 200).clip(380, 2000),
            target=target,
        ),
        Curve(
            title="Soil type",
            x=np.arange(4.0),
            y=np.array([0.2, 0.71, 0.55, 0.33]),
            x_label="soil",
            y_label="suitability",
            lower=np.array([0.1, 0.6, 0.45, 0.2]),
            upper=np.array([0.3, 0.8, 0.62, 0.5]),
            y_unit="1",
            categories=("podzol", "cambisol", "rendzina", "fluvisol"),
            target=target,
        ),
        Contributions(
            title="Permutation importance",
            names=("bio1", "bio12", "slope", "soil", "distance to road"),
            unit="AUC lost",
            values=np.array([0.21, 0.14, 0.05, 0.03, 0.004]),
            lower=np.array([0.18, 0.11, 0.02, 0.01, -0.004]),
            upper=np.array([0.24, 0.17, 0.08, 0.05, 0.01]),
            band="95 % interval",
            target=target,
        ),
        Contributions(
            title="Where this score comes from",
            names=("temperature", "rain", "slope", "bias term"),
            exact=True,
            values=np.array([0.84, 0.4, -0.3, -0.12]),
            additive=True,
            total=0.82,
            unit="log intensity",
            children={"temperature": child},
            gallery={"rain": gallery},
            target=target,
        ),
        gallery,
        Passages(
            title="Sentences that weigh most",
            target=target,
            weights=np.array([0.51, 0.3, 0.19]),
            exact=True,
            sentences=("Grows on calcareous grassland.", "Often on south-facing slopes.", f"Seen near {SCRIPT}."),
            sources=("flora", "flora", "notes"),
        ),
        Overlay(
            title="Change in suitability",
            weights=(land[None, ::2, ::2] - 0.4),
            names=("2050 minus now",),
            extent=extent,
            note="Red gains, blue loses.",
            target=target,
        ),
        Overlay(
            title="Extrapolation",
            weights=np.where(np.isnan(land), np.nan, (land > 0.05) * 1.0)[None, ::2, ::2],
            names=("reach",),
            legend={0: "outside training range", 1: "inside"},
            extent=extent,
            target=target,
        ),
        Check(
            title="Sampling effort",
            claim="Suitability does not simply follow where people looked",
            measured=0.31,
            bound=0.5,
            verdict="pass",
            details=(("correlation with distance to road", "0.31"), ("records within 1 km of a road", "41 %")),
            target=target,
        ),
        Check(
            title="Extrapolation",
            claim="At most 10 % of the map lies outside the training range",
            measured=0.17,
            bound=0.1,
            verdict="fail",
            target=target,
        ),
        Check(
            title="Identifiability",
            claim="All parameters lie inside their bounds",
            measured=3.0,
            verdict="note",
            unit="at bound",
        ),
    ]


@pytest.fixture(scope="session")
def evidence_samples() -> list[Evidence]:
    """One of each kind and more."""
    return samples()


CARD = f"""# DeepMaxent on Iberian plants

A *presence-only* model of **2 species**, see `config.json`.

## Intended use
- maps of relative suitability
- not: abundance, or regions far from the training data

| setting | value |
|---|---|
| hidden layers | 2 x 64 |
| species | {SCRIPT} |

Source: [paper](http://example.org/paper)
"""


def build_run(folder: Path, items: list[Evidence] | None = None) -> RunFolder:
    """A finished run of a made-up model."""
    run = RunFolder(folder)
    table = folder.parent / "occurrences.csv"
    table.write_text("species,decimalLongitude,decimalLatitude\nQuercus ilex,-3.1,40.2\n", encoding="utf-8")
    from ecotone.files.fingerprint import hash_files

    run.begin(
        [
            "ecotone",
            "fit",
            "deepmaxent",
            "occurrences.csv",
            "--rasters",
            "climate",
            "--out",
            folder.name,
            "--seed",
            "7",
        ],
        "deepmaxent",
        {"hidden": [64, 64], "epochs": 40, "learning_rate": 2e-4, "preset": "paper"},
        hash_files([table]),
        {"fit": 7},
    )
    write_model(
        folder,
        system="deepmaxent",
        config={"hidden": [64, 64]},
        tensors={"w": np.ones((5, 64), np.float32)},
        preprocessing={"covariates": ["bio1", "bio12"]},
        card=CARD,
    )
    curve = np.exp(-np.arange(40) / 9) + 1.2
    rows = "\n".join(f"{i},{v:.4f},{v + 0.06 + 0.001 * i:.4f}" for i, v in enumerate(curve))
    run.metrics_path.write_text(f"epoch,loss,validation_loss\n{rows}\n", encoding="utf-8")
    save_evidence(run.evidence_path, samples() if items is None else items)
    run.finish(
        {"read": 1.9, "fit": 41.3, "explain": 6.2},
        [{"code": "OC206", "where": "occurrences.csv", "what": "38 records set aside", "fix": "see Data cleaning"}],
        tables={
            "Data cleaning": [
                {"rule": "exact duplicate in a cell", "records": 27, "action": "kept one per cell"},
                {"rule": "coordinate uncertainty above the cell size", "records": 9, "action": "set aside"},
                {"rule": SCRIPT, "records": 2, "action": "set aside"},
            ]
        },
    )
    scores = Scores(
        metrics={
            "AUC": Score(0.872, 0.841, 0.901, 412),
            "Boyce index": Score(0.79, 0.66, 0.88, 412),
            "TSS": Score(0.58, 0.51, 0.64, 412),
        },
        split="5 spatial blocks of 60 km",
        rows=[{"species": s, "AUC": a, "n": n} for s, a, n in (("Quercus ilex", 0.89, 230), (SCRIPT, 0.84, 182))],
    )
    run.write_scores(scores)
    return run


@pytest.fixture
def sample_run(tmp_path: Path) -> RunFolder:
    """A run folder as `ecotone fit` leaves it, without the report."""
    return build_run(tmp_path / "iberian-oaks")


@pytest.fixture
def build():
    """`build_run` for tests that need other evidence."""
    return build_run


@pytest.fixture
def make_samples():
    """`samples` for one target."""
    return samples


def write_map(path: Path, layers: dict[str, np.ndarray], *, west: float = -10.0, unit: str = "1") -> Path:
    """A GeoTIFF with a band per name."""
    import rasterio
    from rasterio.transform import from_bounds

    bands = np.stack([np.asarray(layer, np.float32) for layer in layers.values()])
    count, height, width = bands.shape
    place = from_bounds(west, 36, west + 14, 44, width, height)
    shape = {"height": height, "width": width, "count": count, "dtype": "float32", "nodata": np.nan}
    with rasterio.open(path, "w", driver="GTiff", crs="EPSG:4326", transform=place, **shape) as out:
        out.write(bands)
        for i, name in enumerate(layers, start=1):
            out.set_band_description(i, name)
            out.set_band_unit(i, unit)
    return path


def build_pair(folder: Path) -> tuple[RunFolder, RunFolder]:
    """Two finished runs of the same species that differ in settings, data, scores, maps and evidence."""
    folder.mkdir(exist_ok=True)
    (folder / "first").mkdir()
    (folder / "second").mkdir()
    first = build_run(folder / "first" / "oaks", samples("Quercus ilex"))
    items = [_changed(item) for item in samples("Quercus ilex")]
    second = build_run(folder / "second" / "oaks", [*items[1:], Check(title="Of its own", claim="c", measured=1.0)])
    record = second.record
    digest = next(iter(record["inputs"].values()))
    first.update(inputs={"old/occurrences.csv": digest, "clim/bio1.tif": "a" * 64, "clim/bio5.tif": "b" * 64})
    second.update(
        inputs={"new/records.csv": digest, "clim/bio1.tif": "c" * 64, "clim/bio6.tif": "d" * 64},
        config={**record["config"], "epochs": 80, "width": 5},
        seeds={"fit": 8},
        versions={**record["versions"], "numpy": "1.0"},
    )
    species = [f"Species {i:02d}" for i in range(12)]
    for run, shift in ((first, 0.05), (second, 0.0)):
        rows = [{"species": s, "AUC": 0.7 + 0.01 * i + shift * (i % 5), "n": i} for i, s in enumerate(species)]
        metrics = {
            "AUC": Score(0.8 + shift, 0.7, 0.9, 12),
            "Boyce index": Score(0.5, -0.1, 0.6),
            f"own {shift}": Score(1),
        }
        run.write_scores(Scores(metrics, split="blocks", rows=rows))
    land = suitability(40, 60)
    for run, other in ((first, land), (second, np.clip(land * 0.7 + 0.1, 0, 1))):
        run.add_map(write_map(run.path / "map.tif", {"Quercus ilex": other, "Quercus suber": land}))
        run.add_map(write_map(run.path / f"{run.path.parent.name}.tif", {"spread": other}, unit="%"))
    write_map(second.path / "moved.tif", {"Quercus ilex": land}, west=-9.0)
    write_map(first.path / "moved.tif", {"Quercus ilex": land})
    for run in (first, second):
        run.add_map(run.path / "moved.tif")
    return first, second


def _changed(item: Evidence) -> Evidence:
    if isinstance(item, Curve):
        return replace(item, y=np.asarray(item.y) * 0.8 + 0.02, lower=None, upper=None)
    if isinstance(item, Contributions) and not item.additive:
        return replace(item, names=item.names[::-1])
    if isinstance(item, Check) and item.title == "Sampling effort":
        return replace(item, verdict="fail", measured=0.61)
    return item


@pytest.fixture(scope="session")
def two_runs(tmp_path_factory) -> tuple[RunFolder, RunFolder]:
    """`build_pair`, to be read only."""
    return build_pair(tmp_path_factory.mktemp("two"))


@pytest.fixture
def make_pair():
    """`build_pair` for tests that change the runs."""
    return build_pair


@pytest.fixture
def put_map():
    """`write_map`."""
    return write_map
