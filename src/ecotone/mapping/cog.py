"""Cloud-optimised GeoTIFFs from plain raw layers, in bounded memory however many bands there are.

GDAL's own driver interleaves bands by pixel, so that one block of a map of thousands of species takes gigabytes. Here
each band has its own blocks. GDAL still writes the tags (coordinate system, names, colours) of an empty file of the same
shape; this module copies them, puts all image directories first, then the overviews from the smallest up, then the
full resolution, and packs blocks with DEFLATE and the predictor of their type. The bytes depend on the content alone.

Layout: TIFF 6.0 and the description of cloud-optimised GeoTIFF in GDAL's documentation (structural metadata after the
header). Letters: h, w rows and columns of a level.
"""

from __future__ import annotations

import errno
import os
import struct
import zlib
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

BLOCK = 512
LEVEL = 2
_GHOST = (
    b"LAYOUT=IFDS_BEFORE_DATA\nBLOCK_ORDER=ROW_MAJOR\nBLOCK_LEADER=SIZE_AS_UINT4\n"
    b"BLOCK_TRAILER=LAST_4_BYTES_REPEATED\nKNOWN_INCOMPATIBLE_EDITION=NO\n "
)
_CLASSIC_MAX = 3_900_000_000
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 12: 8, 13: 4, 16: 8}
_OF_OVERVIEWS = (258, 259, 262, 277, 284, 317, 320, 322, 323, 338, 339, 42113)
_THREADS = max(1, min(4, os.cpu_count() or 1))
Tags = dict[int, tuple[int, int, bytes]]


@dataclass(frozen=True)
class Level:
    """One resolution of a product as a raw file, band after band.

    Attributes:
        path: The file.
        height: Rows.
        width: Columns.
    """

    path: Path
    height: int
    width: int

    def strip(self, handle: int, band: int, row: int, rows: int, dtype: np.dtype) -> np.ndarray:
        """(rows, width) values of a band from 0; fewer at the lower edge."""
        rows = min(rows, self.height - row)
        found = np.empty((rows, self.width), dtype=dtype)
        start = ((band * self.height + row) * self.width) * dtype.itemsize
        read_full(handle, found, start)
        return found


def stage_bytes(height: int, width: int, itemsize: int) -> int:
    """Memory the writing takes at most beyond what the process holds: a row of blocks, blocks being packed, overviews."""
    row = min(BLOCK, height) * width * itemsize
    return 3 * row + 8 * (_THREADS + 2) * BLOCK * BLOCK * itemsize + (8 << 20)


def overview_sizes(height: int, width: int) -> list[tuple[int, int]]:
    """Sizes of the reduced levels, each half the one before, until one fits into a block."""
    sizes = []
    while max(height, width) > BLOCK:
        height, width = -(-height // 2), -(-width // 2)
        sizes.append((height, width))
    return sizes


def write_cog(
    template: Path,
    full: Level,
    out: Path,
    *,
    bands: int,
    dtype: str,
    nodata: float,
    reduce: str,
    tell: Callable[[int], None] = lambda n: None,
) -> None:
    """Writes the file.

    Args:
        template: An empty GeoTIFF that GDAL wrote with the wanted size, blocks of 512, bands apart and all tags.
        full: The content.
        out: Where to write; overviews are kept beside it as raw files meanwhile.
        bands: Bands of the content.
        dtype: Their type, stored little-endian.
        nodata: What stands where there is no value.
        reduce: How overviews are made: "mean", "mode" (of classes) or "nearest".
        tell: Called with the number of bytes packed, now and then.

    Raises:
        OSError: When the disk is full or refuses.
    """
    kind = np.dtype(dtype).newbyteorder("<")
    levels = [full]
    for i, (height, width) in enumerate(overview_sizes(full.height, full.width), start=1):
        levels.append(Level(out.with_name(f"{out.name}.level{i}"), height, width))
    try:
        for fine, coarse in pairwise(levels):
            _reduce_level(fine, coarse, bands, kind, nodata, reduce)
        _write(out, levels, read_tags(template), bands, kind, nodata, tell)
    finally:
        for level in levels[1:]:
            level.path.unlink(missing_ok=True)


# ------------------------------------------------------------------------------------------------ overviews
def _reduce_level(fine: Level, coarse: Level, bands: int, kind: np.dtype, nodata: float, how: str) -> None:
    step = max(1, BLOCK // 2)
    with fine.path.open("rb") as source, coarse.path.open("wb") as target:
        for band in range(bands):
            for row in range(0, coarse.height, step):
                part = fine.strip(source.fileno(), band, 2 * row, 2 * step, kind)
                target.write(reduced(part, nodata, how).astype(kind, copy=False).tobytes())


def reduced(part: np.ndarray, nodata: float, how: str) -> np.ndarray:
    """(h, w) -> half the size, rounded up.

    Args:
        part: Values; an odd last row or column counts alone.
        nodata: Left out of means and modes, and the answer where there is nothing else.
        how: "mean", "mode" or "nearest" (the upper left one of four).
    """
    if how == "nearest":
        return part[::2, ::2]
    height, width = -(-part.shape[0] // 2), -(-part.shape[1] // 2)
    four = [part[i::2, j::2] for i in (0, 1) for j in (0, 1)]
    if how == "mean":
        total, count = np.zeros((height, width)), np.zeros((height, width), dtype=np.uint8)
        for piece in four:
            at = (slice(0, piece.shape[0]), slice(0, piece.shape[1]))
            there = ~np.isnan(piece) if np.isnan(nodata) else ~np.isnan(piece) & (piece != nodata)
            total[at] += np.where(there, piece, 0)
            count[at] += there
        return np.where(count > 0, total / np.maximum(count, 1), nodata).astype(part.dtype)
    whole = np.full((4, height, width), nodata, dtype=part.dtype)
    for k, piece in enumerate(four):
        whole[k, : piece.shape[0], : piece.shape[1]] = piece
    there = whole != part.dtype.type(nodata)
    votes = np.stack([((whole == one) & there).sum(0) * there[k] for k, one in enumerate(whole)])
    return np.take_along_axis(whole, votes.argmax(0)[None], axis=0)[0]


# ------------------------------------------------------------------------------------------------ file
def _write(
    out: Path,
    levels: Sequence[Level],
    tags: Tags,
    bands: int,
    kind: np.dtype,
    nodata: float,
    tell: Callable[[int], None],
) -> None:
    big = sum(level.height * level.width for level in levels) * bands * kind.itemsize > _CLASSIC_MAX
    blocks = [-(-level.height // BLOCK) * -(-level.width // BLOCK) * bands for level in levels]
    tables = [tags, *({k: v for k, v in tags.items() if k in _OF_OVERVIEWS} for _ in levels[1:])]
    for level, table in zip(levels, tables, strict=True):
        table[256], table[257] = (4, 1, struct.pack("<I", level.width)), (4, 1, struct.pack("<I", level.height))
        if level is not levels[0]:
            table[254] = (4, 1, struct.pack("<I", 1))
    offsets = [np.zeros(n, dtype="<u8" if big else "<u4") for n in blocks]
    lengths = [np.zeros(n, dtype="<u4") for n in blocks]
    with out.open("wb") as file:
        place = file.write(_head(tables, offsets, lengths, big=big))
        with ThreadPoolExecutor(_THREADS, thread_name_prefix="pack") as pool:
            for k in reversed(range(len(levels))):
                for i, packed in enumerate(_in_order(pool, _blocks(levels[k], bands, kind, nodata))):
                    offsets[k][i], lengths[k][i] = place + 4, len(packed)
                    place += file.write(struct.pack("<I", len(packed)) + packed + packed[-4:])
                    tell(BLOCK * BLOCK * kind.itemsize)
        file.seek(0)
        file.write(_head(tables, offsets, lengths, big=big))


def _blocks(level: Level, bands: int, kind: np.dtype, nodata: float) -> Iterator[np.ndarray]:
    with level.path.open("rb") as source:
        for band in range(bands):
            for row in range(0, level.height, BLOCK):
                strip = level.strip(source.fileno(), band, row, BLOCK, kind)
                for col in range(0, level.width, BLOCK):
                    part = strip[:, col : col + BLOCK]
                    if part.shape != (BLOCK, BLOCK):
                        whole = np.full((BLOCK, BLOCK), nodata, dtype=kind)
                        whole[: part.shape[0], : part.shape[1]] = part
                        part = whole
                    yield part


def _in_order(pool: ThreadPoolExecutor, blocks: Iterator[np.ndarray]) -> Iterator[bytes]:
    waiting: deque[Future[bytes]] = deque()
    for block in blocks:
        waiting.append(pool.submit(_packed, block))
        if len(waiting) > 2 * _THREADS:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def _packed(block: np.ndarray) -> bytes:
    return zlib.compress(predicted(block).tobytes(), LEVEL)


def predicted(block: np.ndarray) -> np.ndarray:
    """What DEFLATE sees: differences along rows for integers (predictor 2), of byte planes for floats (predictor 3)."""
    if block.dtype.kind == "f":
        size = block.dtype.itemsize
        planes = np.ascontiguousarray(block).view(np.uint8).reshape(*block.shape, size)[..., ::-1]
        flat = np.ascontiguousarray(planes.transpose(0, 2, 1)).reshape(len(block), -1)
    else:
        flat = np.ascontiguousarray(block)
    found = flat.copy()
    with np.errstate(over="ignore"):
        found[:, 1:] -= flat[:, :-1]
    return found


def _head(tables: Sequence[Tags], offsets: Sequence[np.ndarray], lengths: Sequence[np.ndarray], *, big: bool) -> bytes:
    """Header, structural metadata and all directories; the same length whatever the numbers in `offsets`."""
    word, count_word, entry_size = ("<Q", "<Q", 20) if big else ("<I", "<H", 12)
    inline = 8 if big else 4
    start = b"II+\0\x08\0\0\0" if big else b"II*\0"
    ghost = f"GDAL_STRUCTURAL_METADATA_SIZE={len(_GHOST):06d} bytes\n".encode() + _GHOST
    place = len(start) + struct.calcsize(word) + len(ghost)
    place += -place % 8
    parts: list[bytes] = []
    firsts = []
    for i, table in enumerate(tables):
        entries = {**table}
        entries[324] = (16 if big else 4, len(offsets[i]), offsets[i].tobytes())
        entries[325] = (4, len(lengths[i]), lengths[i].tobytes())
        firsts.append(place)
        size = struct.calcsize(count_word) + entry_size * len(entries) + struct.calcsize(word)
        extra, extras = place + size, []
        lines = [struct.pack(count_word, len(entries))]
        for tag in sorted(entries):
            kind, count, value = entries[tag]
            lines.append(struct.pack("<HH" + word[1:], tag, kind, count))
            if len(value) <= inline:
                lines.append(value.ljust(inline, b"\0"))
            else:
                value += b"\0" * (-len(value) % 8)
                lines.append(struct.pack(word, extra))
                extras.append(value)
                extra += len(value)
        after = extra + (-extra % 8)
        lines.append(struct.pack(word, after if i + 1 < len(tables) else 0))
        block = b"".join(lines) + b"".join(extras)
        parts.append(block + b"\0" * (after - place - len(block)))
        place = after
    head = start + struct.pack(word, firsts[0]) + ghost
    return head.ljust(firsts[0], b"\0") + b"".join(parts)


def read_tags(path: Path) -> Tags:
    """Tags of the first directory of a little-endian TIFF, without those that say where blocks lie."""
    with path.open("rb") as file:
        head = file.read(16)
        big = head[2:4] == b"+\0"
        (first,) = struct.unpack("<Q" if big else "<I", head[8:16] if big else head[4:8])
        word, entry = ("<HHQ8s", 20) if big else ("<HHI4s", 12)
        file.seek(first)
        (count,) = struct.unpack("<Q" if big else "<H", file.read(8 if big else 2))
        lines = file.read(entry * count)
        found: Tags = {}
        for i in range(count):
            tag, kind, number, value = struct.unpack(word, lines[i * entry : (i + 1) * entry])
            size = _SIZES[kind] * number
            if tag in (324, 325):
                continue
            if size > len(value):
                file.seek(struct.unpack("<Q" if big else "<I", value)[0])
                value = file.read(size)
            found[tag] = (kind, number, value[:size])
    return found


def read_full(handle: int, array: np.ndarray, start: int) -> None:
    """Fills a contiguous array from a file, starting at a byte.

    Raises:
        OSError: When the file is shorter.
    """
    done, buffer = 0, memoryview(array.data).cast("B")
    while done < len(buffer):
        got = _read_at(handle, buffer[done:], start + done)
        if got == 0:
            raise OSError(errno.EIO, "a raw layer is shorter than its map")
        done += got


def _read_at(handle: int, buffer: memoryview, start: int) -> int:
    if hasattr(os, "preadv"):
        return os.preadv(handle, [buffer], start)
    os.lseek(handle, start, os.SEEK_SET)  # where the system has no better way, such as Windows
    content = os.read(handle, len(buffer))
    buffer[: len(content)] = content
    return len(content)
