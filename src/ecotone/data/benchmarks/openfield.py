"""Frames of one mouse with four clicked body parts, in DeepLabCut's table layout (Mathis et al. 2018).

Source: the open-field example of DeepLabCut, LGPL-3. Expected in the folder: CollectedData_*.csv and the frames it names (as .png
there, .jpg also read).
"""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from ecotone.data.images import ImageSet
from ecotone.errors import InputError


def read_openfield(folder: str | Path) -> ImageSet:
    """The frames, all of one class.

    Raises:
        InputError: IO101 for a table or frames that are missing, IM707 for a table of another layout.
    """
    root = Path(folder)
    tables = sorted(root.glob("CollectedData_*.csv"))
    if not tables:
        raise InputError("IO101", root / "CollectedData_*.csv", "not found", "pass the folder with the clicked points")
    with tables[0].open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.reader(file) if row]
    if len(rows) < 4 or [r[0] for r in rows[:3]] != ["scorer", "bodyparts", "coords"]:
        raise InputError("IM707", tables[0], "is no table of clicked points", "use the CSV that DeepLabCut wrote")
    parts = tuple(dict.fromkeys(rows[1][1:]))
    paths, points = [], []
    for number, row in enumerate(rows[3:]):
        name = Path(row[0].replace("\\", "/")).name
        path = next((p for p in (root / name, (root / name).with_suffix(".jpg")) if p.is_file()), None)
        if path is None:
            continue  # some frames are kept elsewhere
        try:
            values = [float(v) if v.strip() else np.nan for v in row[1 : 1 + 2 * len(parts)]]
            points.append(np.array(values).reshape(len(parts), 2))
        except ValueError:
            raise InputError("IM707", tables[0], f"row {number + 4} holds no numbers", "repair the row") from None
        paths.append(path)
    if not paths:
        raise InputError("IO101", root, "holds none of the frames of its table", "fetch the frames")
    found = np.stack(points)
    split = np.full(len(paths), "", dtype=object)
    return ImageSet(
        paths=tuple(paths),
        names=tuple(p.name for p in paths),
        labels=np.zeros(len(paths), np.int64),
        classes=("mouse",),
        split=split,
        points=np.nan_to_num(found),
        visible=np.asarray(np.isfinite(found).all(2)),
        point_names=parts,
        source="open field",
    )
