"""Lists of numbered things, as bird benchmarks write them: a number, a space, and what it stands for."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ecotone.errors import InputError


def required(root: Path, name: str) -> Path:
    """A file of the set.

    Raises:
        InputError: IO101.
    """
    path = root / name
    if not path.is_file():
        raise InputError("IO101", path, "not found", "pass the folder of the whole set, unpacked")
    return path


def pairs(path: Path) -> dict[str, str]:
    """Number -> the rest of its line, in the order of the file.

    Raises:
        InputError: IM707 for a line without a rest, or a number twice.
    """
    found: dict[str, str] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines()):
        if not line.strip():
            continue
        key, _, rest = line.strip().partition(" ")
        if not rest.strip() or key in found:
            raise InputError("IM707", path, f"line {number + 1} is no pair, or comes twice", "fetch the set again")
        found[key] = rest.strip()
    return found


def joined_numbers(path: Path, ids: list[str], count: int) -> np.ndarray:
    """(N, count) numbers of each of N ids.

    Raises:
        InputError: IM707.
    """
    rows = pairs(path)
    try:
        found = np.array([[float(w) for w in rows[i].split()] for i in ids], dtype=float).reshape(len(ids), count)
    except (KeyError, ValueError):
        raise InputError(
            "IM707", path, f"does not give {count} numbers for each image", "fetch the set again"
        ) from None
    return found
