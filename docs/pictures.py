"""Draws the pictures of the documentation from a real run of the simulated archipelago.

``python docs/pictures.py [RUN]`` repeats `ecotone demo` (seed 0) in a temporary folder, or takes a finished demo, and writes
docs/images/*.png; without RUN also those of `bloom_pictures` and `parts_pictures`. The screenshot of the report needs a Chromium
on the PATH and is left as it is without one.
"""
# ruff: noqa: T201

from __future__ import annotations

import io
import shutil
import subprocess
import sys
import tempfile
from contextlib import chdir
from pathlib import Path

import numpy as np
import pandas as pd
import rasterio
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from ecotone.cli.main import main as ecotone
from ecotone.contract import Contributions, Curve
from ecotone.files.atomic import write_bytes
from ecotone.files.evidence import load_evidence
from ecotone.report import style
from ecotone.report.figures import draw

IMAGES = Path(__file__).resolve().parent / "images"
SPECIES = "Simulata gracilis"
LIMIT = 150_000
Array = np.ndarray


def save(figure: Figure, name: str) -> None:
    """Writes a figure as a small PNG with a palette."""
    text = io.BytesIO()
    figure.savefig(text, dpi=110, facecolor="white")
    save_png(Image.open(text), name)


def save_png(image: Image.Image, name: str) -> None:
    """Writes an image with 256 colours."""
    text = io.BytesIO()
    image.convert("RGB").quantize(256, kmeans=3, dither=Image.Dither.NONE).save(text, "PNG", optimize=True)
    if text.tell() > LIMIT:
        sys.exit(f"{name}: {text.tell()} bytes, more than {LIMIT}")
    write_bytes(IMAGES / name, text.getvalue())
    print(f"docs/images/{name}: {text.tell() // 1000} kB")


def sheet(columns: int, height: float = 3.6) -> tuple[Figure, list[Axes]]:
    """An empty figure with panels side by side."""
    figure = Figure(figsize=(3.5 * columns, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, list(np.atleast_1d(np.asarray(figure.subplots(1, columns), dtype=object)))


def band(path: Path, name: str | None = None) -> tuple[Array, tuple[float, float, float, float]]:
    """A band by its description, nan where nodata, and its extent."""
    with rasterio.open(path) as source:
        index = 1 if name is None else list(source.descriptions).index(name) + 1
        values = source.read(index, masked=True).astype(float).filled(np.nan)
        west, south, east, north = source.bounds
    return values, (west, east, south, north)


def panel(ax: Axes, path: Path, title: str, *, name: str | None = None, cmap: str = "viridis", **more: object) -> None:
    """One raster with its colour bar."""
    values, extent = band(path, name)
    panel_of(ax, values, extent, title, cmap=cmap, **more)


def panel_of(ax: Axes, values: Array, extent: tuple[float, ...], title: str, *, cmap: str, **more: object) -> None:
    """One array with its colour bar."""
    colours = colormaps[cmap].copy()
    colours.set_bad("#dfe7ec")
    shown = ax.imshow(values, extent=extent, cmap=colours, interpolation="nearest", **more)  # type: ignore[arg-type]
    ax.set_title(title, loc="left")
    ax.set(xticks=[], yticks=[], aspect=1 / np.cos(np.radians(38)))
    bar = ax.figure.colorbar(shown, ax=ax, shrink=0.7, pad=0.02)
    bar.outline.set_visible(False)  # type: ignore[operator]


def pictures(run: Path, world: Path) -> None:
    """All pictures but the screenshot."""
    records = pd.read_csv(world / "occurrences.csv")
    own = records[records.scientificName == SPECIES]
    covariates = world / "covariates"

    figure, (a, b, c) = sheet(3)
    panel(a, covariates / "temperature.tif", "Temperature (°C)", cmap="YlOrRd")
    panel(b, covariates / "precipitation.tif", "Precipitation (mm)", cmap="YlGnBu")
    land, extent = band(covariates / "temperature.tif")
    panel_of(
        c,
        np.where(np.isfinite(land), 0.35, np.nan),
        extent,
        f"{len(records)} records, 20 species",
        cmap="Greys",
        vmin=0,
        vmax=1,
    )
    c.images[-1].colorbar.remove()  # type: ignore[union-attr]
    c.plot(records.decimalLongitude, records.decimalLatitude, ".", ms=1.5, color=style.SERIES[1])
    save(figure, "inputs.png")

    figure, (a, b, c) = sheet(3)
    panel(a, run / "map.tif", f"{SPECIES}: suitability", name=SPECIES, vmin=0, vmax=1)
    a.plot(own.decimalLongitude, own.decimalLatitude, ".", ms=2, color="white", alpha=0.8)
    panel(b, run / "map.richness.tif", "Species expected per cell", cmap="magma")
    panel(c, run / "future.difference.tif", "Change when 2 °C warmer", name=SPECIES, cmap="RdBu", vmin=-0.3, vmax=0.3)
    save(figure, "first-map.png")

    figure, (a, b, c) = sheet(3)
    panel(a, run / "future.tif", f"{SPECIES}, 2 °C warmer", name=SPECIES, vmin=0, vmax=1)
    panel(b, run / "future.difference.tif", "Difference to today", name=SPECIES, cmap="RdBu", vmin=-0.3, vmax=0.3)
    panel(c, run / "future.extrapolation.tif", "Similarity to the sampled (%)", cmap="RdYlBu", vmin=-50, vmax=50)
    save(figure, "future.png")

    with np.load(world / "truth.npz") as stored:
        species = list(stored["species"])
        true = np.full(land.shape, np.nan)
        true[tuple(stored["cells"].T)] = stored["log_intensity"][:, species.index(SPECIES)]
    found, _ = band(run / "map.tif", SPECIES)
    figure, (a, b) = sheet(2)
    panel_of(a, ranks(true), extent, "Truth, ranked", cmap="viridis", vmin=0, vmax=1)
    panel_of(b, ranks(found), extent, "Map, ranked", cmap="viridis", vmin=0, vmax=1)
    save(figure, "truth.png")

    evidence = load_evidence(run / "evidence")
    curves = [e for e in evidence if isinstance(e, Curve) and e.target == SPECIES]
    curve = next(e for e in curves if "temperature" in e.title.lower())
    save(draw(curve, size=(5.6, 3.4)), "response.png")
    weights = next(e for e in evidence if isinstance(e, Contributions) and not e.target)
    save(draw(weights, size=(6.4, 3.2)), "importance.png")


def ranks(values: Array) -> Array:
    """Share of cells with a lower value, nan kept."""
    filled = np.full(values.shape, np.nan)
    known = np.isfinite(values)
    filled[known] = values[known].argsort().argsort() / max(known.sum() - 1, 1)
    return filled


def screenshot(run: Path, name: str = "report.png", size: tuple[int, int] = (1120, 1000)) -> None:
    """The top of the report as a browser shows it."""
    browser = next((b for b in map(shutil.which, ("chromium", "chromium-browser", "google-chrome")) if b), None)
    if browser is None:
        print(f"docs/images/{name}: left as it is, no Chromium found")
        return
    with tempfile.TemporaryDirectory() as place:
        shot = Path(place) / "report.png"
        command = [
            browser,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--hide-scrollbars",
            f"--window-size={size[0]},{size[1]}",
        ]
        subprocess.run(
            [*command, f"--screenshot={shot}", (run / "report.html").resolve().as_uri()],
            check=True, capture_output=True, timeout=120,
        )  # fmt: skip
        with Image.open(shot) as image:
            save_png(image, name)


def main(arguments: list[str]) -> int:
    """Draws everything from a finished demo, or from a fresh one."""
    run = Path(arguments[0]).resolve() if arguments else Path("demo/deepmaxent")
    with tempfile.TemporaryDirectory() as place, chdir(place):
        status = 0 if arguments else ecotone(["demo", "--quiet", "--out", str(run)])
        if status:
            return status
        with style.house_style():
            pictures(run, run.with_name(f"{run.name}-world"))
        screenshot(run)
    if not arguments:
        import bloom_pictures
        import parts_pictures

        return bloom_pictures.main([]) or parts_pictures.main([])
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
