"""Draws the picture of the page on part classifiers from a real run on simulated creatures.

``python docs/parts_pictures.py [RUN]`` repeats `ecotone demo ifam` (seed 0) in a temporary folder, or takes a finished demo, and
writes docs/images/parts.png.
"""

from __future__ import annotations

import io
import sys
import tempfile
from contextlib import chdir
from pathlib import Path

from matplotlib.figure import Figure
from pictures import save_png
from PIL import Image

from ecotone.cli.main import main as ecotone
from ecotone.contract import Contributions, Evidence, Overlay
from ecotone.files.evidence import load_evidence
from ecotone.report import style
from ecotone.report.figures import draw

HEIGHT = 300
SHOWN = 2


def drawn(item: Evidence) -> Image.Image:
    """Evidence as an image of equal height."""
    with style.house_style():
        figure: Figure = draw(item)
        text = io.BytesIO()
        figure.savefig(text, dpi=110, facecolor="white")
    picture = Image.open(text).convert("RGB")
    return picture.resize((round(picture.width * HEIGHT / picture.height), HEIGHT), Image.Resampling.LANCZOS)


def rows(run: Path) -> list[list[Image.Image]]:
    """Parts, what was seen, and evidence of the first images whose label is right."""
    items = load_evidence(run / "evidence")
    found = []
    for target in dict.fromkeys(item.target for item in items if item.target):
        own = [item for item in items if item.target == target]
        parts = next((i for i in own if isinstance(i, Overlay) and i.title.startswith("Parts")), None)
        seen = next((i for i in own if isinstance(i, Overlay) and i.title.startswith("Seen")), None)
        terms = next((i for i in own if isinstance(i, Contributions)), None)
        if parts is not None and seen is not None and terms is not None:
            label, _, truth = parts.title.removeprefix("Parts: ").partition(", truth: ")
            if label.split(" (")[0] == truth:
                found.append([drawn(parts), drawn(seen), drawn(terms)])
    return found[:SHOWN]


def main(arguments: list[str]) -> int:
    """Draws from a finished demo, or from a fresh one."""
    run = Path(arguments[0]).resolve() if arguments else Path("demo/ifam")
    with tempfile.TemporaryDirectory() as place, chdir(place):
        status = 0 if arguments else ecotone(["demo", "ifam", "--quiet", "--out", str(run)])
        if status:
            return status
        grid = rows(run)
    widths = [max(row[k].width for row in grid) for k in range(3)]
    sheet = Image.new("RGB", (sum(widths), HEIGHT * len(grid)), "white")
    for i, row in enumerate(grid):
        for k, picture in enumerate(row):
            sheet.paste(picture, (sum(widths[:k]), i * HEIGHT))
    save_png(sheet, "parts.png")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
