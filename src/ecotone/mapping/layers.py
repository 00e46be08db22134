"""Where a map grows: one raw file per product, each value at a place known beforehand.

Bands follow one another, rows within a band, little-endian. There is no index that a kill could destroy: a window is
whole when its bytes are there, which its checksum in the journal tells. Several processes may write at once.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ecotone.abilities import MapProduct
from ecotone.contract import Grid
from ecotone.data.raster_grid import Window
from ecotone.mapping.cog import Level, read_full


@dataclass(frozen=True)
class RawLayers:
    """The raw files of all products of a map. Plain data, to be sent to other processes.

    Attributes:
        folder: Where they lie.
        products: What they hold.
        height: Rows of the map.
        width: Columns.
    """

    folder: Path
    products: tuple[MapProduct, ...]
    height: int
    width: int

    @classmethod
    def on(cls, folder: Path, products: Sequence[MapProduct], grid: Grid) -> RawLayers:
        """Those of a map on a grid."""
        return cls(folder, tuple(products), grid.height, grid.width)

    def path(self, product: int) -> Path:
        """The raw file of a product by its number."""
        return self.folder / f"{product}.raw"

    def level(self, product: int) -> Level:
        """The raw file as the full resolution of a cloud-optimised one."""
        return Level(self.path(product), self.height, self.width)

    def size(self, product: int) -> int:
        """Bytes of a whole raw file."""
        one = self.products[product]
        return len(one.bands) * self.height * self.width * np.dtype(one.dtype).itemsize

    def create(self) -> None:
        """Makes the files at their full length, empty; what is there already stays."""
        for i in range(len(self.products)):
            with self.path(i).open("ab") as file:
                if os.fstat(file.fileno()).st_size < self.size(i):
                    file.truncate(self.size(i))

    def on_disk(self) -> int:
        """Bytes the files take on disk by now."""
        return sum(
            512 * getattr(self.path(i).stat(), "st_blocks", 0)
            for i in range(len(self.products))
            if self.path(i).exists()
        )

    @contextmanager
    def opened(self) -> Iterator[OpenLayers]:
        """The files open for reading and writing."""
        handles = []
        try:
            for i in range(len(self.products)):
                handles.append(os.open(self.path(i), os.O_RDWR | getattr(os, "O_BINARY", 0)))
            yield OpenLayers(self, handles)
        finally:
            for handle in handles:
                os.close(handle)


class OpenLayers:
    """Open raw files."""

    def __init__(self, raw: RawLayers, handles: list[int]) -> None:
        self.raw, self.handles = raw, handles

    def write(self, window: Window, layers: Sequence[np.ndarray]) -> int:
        """Writes (bands, h, w) arrays, one per product; returns their checksum.

        Raises:
            OSError: When the disk is full or refuses.
        """
        for i, (handle, layer) in enumerate(zip(self.handles, layers, strict=True)):
            data = np.ascontiguousarray(layer, dtype=self._type(i))
            for start, part in zip(self._starts(i, window), self._parts(data, window), strict=True):
                _write_full(handle, memoryview(part.data).cast("B"), start)
        return checksum(layers)

    def read(self, window: Window, product: int) -> np.ndarray:
        """(bands, h, w) of one product.

        Raises:
            OSError: When the file is shorter.
        """
        found = np.empty(
            (len(self.raw.products[product].bands), window.height, window.width), dtype=self._type(product)
        )
        for start, part in zip(self._starts(product, window), self._parts(found, window), strict=True):
            read_full(self.handles[product], part, start)
        return found

    def checksum(self, window: Window) -> int:
        """What `write` returned for the window, if it is whole; -1 when it cannot be read."""
        try:
            return checksum([self.read(window, i) for i in range(len(self.handles))])
        except OSError:
            return -1

    def sync(self) -> None:
        """Flushes everything to disk."""
        for handle in self.handles:
            os.fsync(handle)

    def _type(self, product: int) -> np.dtype:
        return np.dtype(self.raw.products[product].dtype).newbyteorder("<")

    def _starts(self, product: int, window: Window) -> Iterator[int]:
        raw, size = self.raw, self._type(product).itemsize
        whole_rows = window.width == raw.width
        for band in range(len(raw.products[product].bands)):
            for row in range(window.row, window.row + (1 if whole_rows else window.height)):
                yield ((band * raw.height + row) * raw.width + window.col) * size

    def _parts(self, data: np.ndarray, window: Window) -> Iterator[np.ndarray]:
        if window.width == self.raw.width:
            yield from data.reshape(len(data), -1)
        else:
            yield from data.reshape(-1, window.width)


def checksum(layers: Sequence[np.ndarray]) -> int:
    """A number that changes with any byte of the layers."""
    found = 0
    for layer in layers:
        found = zlib.crc32(np.ascontiguousarray(layer).reshape(-1).view(np.uint8).data, found)
    return found


def _write_full(handle: int, buffer: memoryview, start: int) -> None:
    done = 0
    while done < len(buffer):
        if hasattr(os, "pwrite"):
            done += os.pwrite(handle, buffer[done:], start + done)
        else:
            os.lseek(handle, start + done, os.SEEK_SET)  # each process has handles of its own
            done += os.write(handle, buffer[done:])
