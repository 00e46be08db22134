"""What a system may be able to do beyond the contract: make maps, embed, read class names, forecast.

Each ability is a protocol; a verb whose ability a system lacks is a usage error (US103), and `ecotone list` shows which
system has which.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from ecotone.contract import Array, Prediction


@dataclass(frozen=True)
class CovariateSpec:
    """A raster band a model needs: its name, and the levels it may take when it is categorical."""

    name: str
    levels: tuple[int, ...] | None = None

    @property
    def categorical(self) -> bool:
        """Whether the values are labels (nearest-neighbour resampling only)."""
        return self.levels is not None


@dataclass(frozen=True)
class MapProduct:
    """One output raster of a map: band names, dtype, nodata value and unit.

    `suffix` is put between stem and ending of the output name; the main product has none.
    """

    bands: tuple[str, ...]
    suffix: str = ""
    dtype: str = "float32"
    nodata: float = float("nan")
    unit: str = "1"
    legend: Mapping[int, str] = field(default_factory=dict)


@runtime_checkable
class Maps(Protocol):
    """Ability to make maps pixel by pixel: the answer at a pixel depends on that pixel's covariates only."""

    def map_covariates(self) -> tuple[CovariateSpec, ...]:
        """What the map needs, in the model's order."""
        ...

    def map_products(self, **ask: Any) -> tuple[MapProduct, ...]:
        """The rasters a map consists of, main product first."""
        ...

    def training_covariates(self) -> Any:
        """The rasters of `fit` (`ecotone.data.rasters.RasterStack`), mapped when no others are given."""
        ...

    def window(self, covariates: Array, **ask: Any) -> tuple[Array, ...]:
        """(N, P) float64 covariates of valid pixels -> one (N, bands) array per product.

        A system with the attribute ``covariate_dtype = "float32"`` gets float32.
        """
        ...


@runtime_checkable
class MapsInGroups(Protocol):
    """Ability to answer for some bands of the main product at a time, for maps of more species than memory holds."""

    def window_group(self, covariates: Array, bands: slice, **ask: Any) -> tuple[Array, ...]:
        """As `Maps.window`, for the columns `bands` of the main product and of each product with as many bands.

        Other products are given whole, and the same for every group.
        """
        ...


@runtime_checkable
class Changes(Protocol):
    """Ability to say what changes between two climates, pixel by pixel."""

    def change_products(self, **ask: Any) -> tuple[MapProduct, ...]:
        """The rasters that show it, for example turnover, gains and losses."""
        ...

    def window_change(self, covariates: Array, baseline: Array, **ask: Any) -> tuple[Array, ...]:
        """(N, P) covariates now and in the baseline, valid in both -> one (N, bands) array per change product."""
        ...


@runtime_checkable
class Embeds(Protocol):
    """Ability to turn observations into vectors."""

    def embed(self, data: Any, **ask: Any) -> Prediction:
        """Rows of embeddings."""
        ...


@runtime_checkable
class ZeroShot(Protocol):
    """Ability to score classes given as words."""

    def classes(self, data: Any, names: Sequence[str], **ask: Any) -> Prediction:
        """Scores per class."""
        ...


@runtime_checkable
class Forecasts(Protocol):
    """Ability to predict dates ahead."""

    def forecast(self, data: Any, **ask: Any) -> Prediction:
        """Dates with intervals."""
        ...


ABILITIES: dict[str, type] = {"map": Maps, "embed": Embeds, "zeroshot": ZeroShot, "forecast": Forecasts}
