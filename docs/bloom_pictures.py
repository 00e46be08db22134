"""Draws the pictures of the pages on bloom dates from a real run on simulated trees.

``python docs/bloom_pictures.py [RUN]`` repeats `ecotone demo phenology` (seed 0) in a temporary folder, or takes a finished demo,
and writes docs/images/bloom-*.png. With ECOTONE_DATA set, also kyoto.png from the record of Kyoto, which is not part of this
repository: peak bloom by Aono and Kazui (2008), temperatures of the Japan Meteorological Agency.
"""
# ruff: noqa: T201

from __future__ import annotations

import io
import os
import sys
import tempfile
from contextlib import chdir
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure
from pictures import save_png, screenshot
from PIL import Image

from ecotone.cli.main import main as ecotone
from ecotone.contract import Curve, Evidence
from ecotone.files.evidence import load_evidence
from ecotone.report import style
from ecotone.report.figures import draw

SIZE = (4.3, 3.5)
KYOTO = "JP_kyoto_arashiyama"


def image_of(curve: Evidence, said: str, size: tuple[float, float] = SIZE) -> Image.Image:
    """A drawing of evidence with a few words above."""
    with style.house_style():
        figure: Figure = draw(curve, size=size)
        figure.axes[0].set_title(said, loc="right", color=style.MUTED, fontsize=8.5)
        text = io.BytesIO()
        figure.savefig(text, dpi=110, facecolor="white")
    return Image.open(text)


def side_by_side(images: list[Image.Image], name: str) -> None:
    """Writes images in a row."""
    sheet = Image.new("RGB", (sum(i.width for i in images), max(i.height for i in images)), "white")
    left = 0
    for image in images:
        sheet.paste(image.convert("RGB"), (left, 0))
        left += image.width
    save_png(sheet, name)


def curve_of(evidence: list[Evidence], words: str) -> Curve:
    """The first curve with words in its title."""
    return next(e for e in evidence if isinstance(e, Curve) and words in e.title)


def pictures(run: Path, site: str = "site-01") -> None:
    """From a finished demo."""
    evidence = load_evidence(run / "evidence")
    said = f"{site}, simulated"
    coming, seen = curve_of(evidence, f"{site}: coming bloom"), curve_of(evidence, f"{site}: predicted and observed")
    side_by_side([image_of(coming, said), image_of(seen, said)], "bloom-forecast.png")
    chill = next(e for e in evidence if isinstance(e, Curve) and e.title == "Chill response")
    truth = curve_of(evidence, "beside the truth")
    side_by_side(
        [image_of(chill, "all sites, simulated"), image_of(truth, "all sites, simulated")], "bloom-response.png"
    )
    season = curve_of(evidence, f"{site}: chill and forcing")
    side_by_side(
        [image_of(season, said), image_of(curve_of(evidence, f"{site}: bloom in a warmer"), said)], "bloom-warming.png"
    )
    screenshot(run, "bloom-report.png", (1120, 1500))


def kyoto(folder: Path) -> None:
    """Predicted and observed bloom of Kyoto since 1951, and its learned response."""
    bloom: Any = pd.read_csv(folder / "bloom.csv")
    bloom = bloom[bloom["site_id"].eq(KYOTO) & bloom["year"].ge(1951)]
    pairs = pd.read_csv(folder / "usable_seasons.csv")
    station = pairs.loc[pairs["site_id"].eq(KYOTO) & pairs["quality"].eq("observed"), "station_id"].mode()[0]
    days: Any = pd.read_csv(folder / "temperature_daily.csv.gz", dtype={"station_id": str})
    days = days[days["station_id"].eq(station)]
    columns = ["site_id", "lat", "lon", "year", "doy"]
    bloom[columns].assign(station_id=station).to_csv("bloom.csv", index=False)
    days[["station_id", "date", "tmin_c", "tmax_c", "tmean_c"]].to_csv("temperature.csv", index=False)
    status = ecotone(
        ["fit", "phenology", "--bloom", "bloom.csv", "--temperature", "temperature.csv", "--out", "kyoto", "--quiet"]
    )
    if status:
        sys.exit(status)
    evidence = load_evidence(Path("kyoto/evidence"))
    seen, warm = curve_of(evidence, "predicted and observed"), curve_of(evidence, "warmer")
    credit = "Kyoto: Aono & Kazui 2008; JMA"
    side_by_side([image_of(seen, credit), image_of(warm, credit)], "bloom-kyoto.png")


def main(arguments: list[str]) -> int:
    """Draws everything from a finished demo, or from a fresh one."""
    run = Path(arguments[0]).resolve() if arguments else Path("demo/phenology")
    with tempfile.TemporaryDirectory() as place, chdir(place):
        status = 0 if arguments else ecotone(["demo", "phenology", "--quiet", "--out", str(run)])
        if status:
            return status
        pictures(run)
        data = os.environ.get("ECOTONE_DATA")
        if data and (Path(data) / "phenology/bloom.csv").is_file():
            kyoto(Path(data) / "phenology")
        else:
            print("docs/images/bloom-kyoto.png: left as it is, ECOTONE_DATA has no bloom records")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
