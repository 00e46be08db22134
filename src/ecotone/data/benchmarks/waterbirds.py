"""Waterbirds: CUB birds on land and water backgrounds that go with their kind in training (Sagawa et al. 2020, arXiv 1911.08731).

Expected in the folder: metadata.csv (img_id, img_filename, y, split, place) and the images it names. Groups are kind x place.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ecotone.data.benchmarks.listing import required
from ecotone.data.images import ImageSet
from ecotone.errors import InputError

KINDS, PLACES = ("landbird", "waterbird"), ("land", "water")


def read_waterbirds(folder: str | Path) -> ImageSet:
    """The set, with the published split and the four groups.

    Raises:
        InputError: IO101 for files that are missing, IM707 for columns that are.
    """
    from ecotone.data.tables import read_table

    root = Path(folder)
    path = required(root, "metadata.csv")
    frame = read_table(path).frame
    for column in ("img_filename", "y", "split", "place"):
        if column not in frame.columns:
            raise InputError("IM707", path, f"has no column {column}", "fetch the set again")
    y, place, split = (frame[c].to_numpy() for c in ("y", "place", "split"))
    if not (np.isin(y, (0, 1)).all() and np.isin(place, (0, 1)).all() and np.isin(split, (0, 1, 2)).all()):
        raise InputError("IM707", path, "y and place should be 0 or 1, split 0 to 2", "fetch the set again")
    names = tuple(str(n) for n in frame["img_filename"])
    return ImageSet(
        paths=tuple(root / n for n in names),
        names=names,
        labels=y.astype(np.int64),
        classes=KINDS,
        split=np.array(["train", "val", "test"], dtype=object)[split.astype(int)],
        group=(2 * y + place).astype(np.int64),
        group_names=tuple(f"{kind} on {where}" for kind in KINDS for where in PLACES),
        source="Waterbirds",
    )
