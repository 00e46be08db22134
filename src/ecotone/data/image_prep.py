"""From images of any size to the equal ones a model reads, and back: which point of the image a point of the input is.

One object says it all and is stored with the model, so that training, questions and measurements cannot differ.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ecotone.data.image_files import as_channels, decode, decoders_quiet
from ecotone.errors import InputError
from ecotone.files.atomic import atomic_path, make_folder
from ecotone.files.fingerprint import cache_key

Array = np.ndarray
IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Preprocessing:
    """How an image becomes what a model reads.

    Attributes:
        size: Side of the square input, pixels.
        channels: Number of channels.
        fit: "crop" scales the shorter side and takes the middle; "squash" scales both sides; "pad" scales the longer side and
            fills up with the mean.
        scale: Divisor of the values, by which they come to about 0..1: 255 for bytes.
        mean: Of each channel, after `scale`.
        std: Of each channel, after `scale`.
    """

    size: int
    channels: int = 3
    fit: Literal["crop", "squash", "pad"] = "crop"
    scale: float = 255.0
    mean: tuple[float, ...] = IMAGENET[0]
    std: tuple[float, ...] = IMAGENET[1]

    def __post_init__(self) -> None:
        if len(self.mean) != self.channels or len(self.std) != self.channels or min(self.std) <= 0 or self.scale <= 0:
            raise InputError(
                "IM704", "preprocessing", "means and spreads do not fit the channels", "give one per channel"
            )

    def resize(self, image: Array) -> Array:
        """(C, H, W) of any size -> (C, size, size) of the same type; each pixel is the mean of those it covers."""
        box, (width, height) = self.window(image.shape[2], image.shape[1])
        made = _resized(image, box, width, height)
        if self.fit != "pad" or (width == self.size and height == self.size):
            return made
        fill = np.asarray(self.mean)[:, None, None] * self.scale
        out = np.broadcast_to(fill, (image.shape[0], self.size, self.size)).astype(image.dtype).copy()
        top, left = (self.size - height) // 2, (self.size - width) // 2
        out[:, top : top + height, left : left + width] = made
        return out

    def normalise(self, images: Array) -> Array:
        """(..., C, S, S) -> float32 with mean 0 and spread 1 per channel."""
        mean = np.asarray(self.mean, np.float32)[:, None, None]
        std = np.asarray(self.std, np.float32)[:, None, None]
        return (np.asarray(images, np.float32) / np.float32(self.scale) - mean) / std

    def window(self, width: int, height: int) -> tuple[tuple[float, float, float, float], tuple[int, int]]:
        """The part (left, top, right, bottom) of an image that is used, and the (width, height) it is scaled to."""
        if self.fit == "crop":
            side = min(width, height)
            left, top = (width - side) / 2, (height - side) / 2
            return (left, top, left + side, top + side), (self.size, self.size)
        if self.fit == "squash":
            return (0.0, 0.0, float(width), float(height)), (self.size, self.size)
        share = self.size / max(width, height)
        scaled = max(1, round(width * share)), max(1, round(height * share))
        return (0.0, 0.0, float(width), float(height)), scaled

    def to_input(self, points: Array, width: int, height: int) -> Array:
        """(..., 2) x, y in pixels of the image -> pixels of the input; a new array."""
        (left, top, right, bottom), (across, down) = self.window(width, height)
        shift = np.array([(self.size - across) // 2, (self.size - down) // 2])
        factor = np.array([across / (right - left), down / (bottom - top)])
        return (np.asarray(points, float) - [left, top]) * factor + shift

    def to_image(self, points: Array, width: int, height: int) -> Array:
        """(..., 2) x, y in pixels of the input -> pixels of the image; undoes `to_input`."""
        (left, top, right, bottom), (across, down) = self.window(width, height)
        shift = np.array([(self.size - across) // 2, (self.size - down) // 2])
        factor = np.array([across / (right - left), down / (bottom - top)])
        return (np.asarray(points, float) - shift) / factor + [left, top]

    def to_json(self) -> dict[str, Any]:
        """Plain values for a model folder."""
        return asdict(self)

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> Preprocessing:
        """Undoes `to_json`.

        Raises:
            TypeError, ValueError, KeyError, InputError: For anything else.
        """
        if stored["fit"] not in ("crop", "squash", "pad") or not 1 <= int(stored["size"]) <= 8192:
            raise ValueError("no preprocessing")
        return cls(
            size=int(stored["size"]),
            channels=int(stored["channels"]),
            fit=stored["fit"],
            scale=float(stored["scale"]),
            mean=tuple(float(v) for v in stored["mean"]),
            std=tuple(float(v) for v in stored["std"]),
        )


def usual_preprocessing(first: Array, size: int, fit: Literal["crop", "squash", "pad"] = "crop") -> Preprocessing:
    """Preprocessing for images like `first`: ImageNet's mean and spread for colour, 0.5 and 0.25 of the range otherwise."""
    channels = 3 if first.shape[0] == 1 else first.shape[0]
    scale = {"uint8": 255.0, "uint16": 65535.0, "int16": 10000.0, "int32": 10000.0}.get(first.dtype.name, 1.0)
    if channels == 3:
        return Preprocessing(size, 3, fit, scale, *IMAGENET)
    return Preprocessing(size, channels, fit, scale, (0.5,) * channels, (0.25,) * channels)


def load_images(
    paths: Sequence[Path],
    prep: Preprocessing,
    *,
    key: str = "",
    cache: str | Path | None = None,
    workers: int = 2,
    advance: Callable[[int], object] | None = None,
) -> Array:
    """Images resized to equal shape.

    Args:
        paths: N files.
        prep: What is done to each.
        key: Content hash of the files; needed with `cache`.
        cache: A folder in which the result is kept, under a name made from `key` and `prep`.
        workers: Threads that decode.
        advance: Called with the number of images done.

    Returns:
        (N, C, size, size) of the type of the first image, not normalised; read-only from a cache.

    Raises:
        InputError: As `read_image`; IM704 when types or channels differ.
    """
    path = None
    if cache is not None:
        path = make_folder(Path(cache)) / f"{cache_key(key=key, prep=prep.to_json(), count=len(paths))}.npy"
        if (stored := _stored(path, len(paths), prep)) is not None:
            return stored
    made = _loaded(paths, prep, workers, advance)
    if path is None:
        return made
    with atomic_path(path) as partial, partial.open("wb") as handle:
        np.save(handle, made, allow_pickle=False)
    return np.load(path, mmap_mode="r", allow_pickle=False)


def _loaded(paths: Sequence[Path], prep: Preprocessing, workers: int, advance: Callable[[int], object] | None) -> Array:
    def one(path: Path) -> Array:
        return prep.resize(as_channels(decode(path), prep.channels, path))

    out: Array | None = None
    with decoders_quiet(), ThreadPoolExecutor(max(1, workers)) as pool:
        for i, image in enumerate(pool.map(one, paths)):
            if out is None:
                out = np.empty((len(paths), *image.shape), image.dtype)
            if image.dtype != out.dtype:
                what = f"holds {image.dtype} where earlier images hold {out.dtype}"
                raise InputError("IM704", paths[i], what, "use images of one kind")
            out[i] = image
            if advance is not None:
                advance(1)
    return np.empty((0, prep.channels, prep.size, prep.size), np.uint8) if out is None else out


def _stored(path: Path, count: int, prep: Preprocessing) -> Array | None:
    try:
        found = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return found if found.shape == (count, prep.channels, prep.size, prep.size) else None


def _resized(image: Array, box: tuple[float, float, float, float], width: int, height: int) -> Array:
    from PIL import Image

    out = np.empty((image.shape[0], height, width), image.dtype)
    whole = box == (0.0, 0.0, float(image.shape[2]), float(image.shape[1]))
    if whole and (height, width) == image.shape[1:]:
        return image.copy()
    shrinks = (box[2] - box[0]) >= width and (box[3] - box[1]) >= height
    method = Image.Resampling.BOX if shrinks else Image.Resampling.BILINEAR
    if image.dtype == np.uint8 and image.shape[0] == 3:
        picture = Image.fromarray(np.ascontiguousarray(image.transpose(1, 2, 0)))
        return np.asarray(picture.resize((width, height), method, box=box)).transpose(2, 0, 1).copy()
    info = np.iinfo(image.dtype) if image.dtype.kind in "iu" else None
    for k, band in enumerate(image):
        picture = Image.fromarray(np.ascontiguousarray(band, dtype=np.float32))
        values = np.asarray(picture.resize((width, height), method, box=box))
        out[k] = values if info is None else np.clip(np.rint(values), info.min, info.max)
    return out
