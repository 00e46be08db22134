"""Smooth random fields on a grid, by filtering white noise in Fourier space; numpy only."""

from __future__ import annotations

import numpy as np

Array = np.ndarray


def smooth(values: Array, scale: float | tuple[float, float]) -> Array:
    """Gaussian filter of an (H, W) array; beyond the frame the array is taken as mirrored.

    Args:
        values: (H, W) finite values.
        scale: Standard deviation of the Gaussian in cells, for both axes or as (rows, columns).

    Returns:
        (H, W) filtered values.
    """
    scales = (scale, scale) if isinstance(scale, int | float) else scale
    out = np.asarray(values, dtype=np.float64)
    for axis, sd in enumerate(scales):
        n = out.shape[axis]
        mirrored = np.concatenate((out, np.flip(out, axis)), axis=axis)
        transfer = np.exp(-2.0 * (np.pi * np.fft.rfftfreq(2 * n) * sd) ** 2)
        spectrum = np.fft.rfft(mirrored, axis=axis) * (transfer[:, None] if axis == 0 else transfer)
        out = np.take(np.fft.irfft(spectrum, n=2 * n, axis=axis), np.arange(n), axis=axis)
    return out


def random_field(rng: np.random.Generator, shape: tuple[int, int], scale: float) -> Array:
    """A Gaussian random field with mean 0 and standard deviation 1 over the frame.

    Args:
        rng: Where the noise comes from.
        shape: (H, W).
        scale: Standard deviation of the smoothing Gaussian in cells; likeness reaches about twice as far.

    Returns:
        (H, W).
    """
    margin = int(np.ceil(2 * scale))
    noise = rng.standard_normal((shape[0] + 2 * margin, shape[1] + 2 * margin))
    field = smooth(noise, scale)[margin : margin + shape[0], margin : margin + shape[1]]
    return (field - field.mean()) / field.std()


def rough_field(rng: np.random.Generator, shape: tuple[int, int], scale: float, *, octaves: int = 3) -> Array:
    """A sum of random fields, each half as wide and about half as strong as the last; mean 0, standard deviation 1."""
    total = sum(0.55**k * random_field(rng, shape, scale / 2**k) for k in range(octaves))
    return np.asarray((total - np.mean(total)) / np.std(total))


def standard(values: Array, inside: Array) -> Array:
    """`values` shifted and scaled to mean 0 and standard deviation 1 over the cells `inside`."""
    some = values[inside]
    return (values - some.mean()) / max(float(some.std()), 1e-12)
