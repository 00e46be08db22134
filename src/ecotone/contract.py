"""What every system promises, whatever its method: the words all rooms above share.

Holds no torch, no file access and no drawing. `System` is what a method implements; `Prediction` and `Scores` are what
it returns; the `Evidence` classes say what an answer rests on. Optional abilities are in `ecotone.abilities`.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from ecotone.docstrings import attributes
from ecotone.errors import InputError, UsageError, suggest

if TYPE_CHECKING:
    import pandas as pd

Array = np.ndarray


# ------------------------------------------------------------------------------------------------ settings
class Options(BaseModel):
    """Base of `Inputs`, `Config` and `Ask`: unknown keys are errors that name the closest known one."""

    model_config = ConfigDict(extra="forbid", arbitrary_types_allowed=True, validate_default=False)

    @classmethod
    def parse(cls, values: Mapping[str, Any] | None = None, /, **more: Any) -> Self:
        """Builds the options; a problem is one `UsageError` (US101 unknown key, US104 bad value)."""
        given = {**(values or {}), **more}
        for key in given:
            if key not in cls.model_fields:
                raise UsageError("US101", key, f"{cls.__name__} has no such option", suggest(key, cls.model_fields))
        try:
            return cls(**given)
        except ValidationError as error:
            first = error.errors()[0]
            name = ".".join(str(part) for part in first["loc"]) or cls.__name__
            reason = first["msg"].removeprefix("Value error, ")
            raise UsageError(
                "US104", name, f"{reason}, got {first['input']!r}"[:300], "give a value that fits"
            ) from None

    def check(self) -> Self:
        """Refuses values that do not fit together (US105); a subclass says which."""
        return self

    @classmethod
    def explained(cls) -> dict[str, str]:
        """Field -> what it means, from the Attributes of the docstrings of this class and of those it builds on."""
        texts: dict[str, str] = {}
        for base in reversed(cls.__mro__):
            if base is not Options and issubclass(base, Options):
                texts |= attributes(inspect.cleandoc(base.__dict__.get("__doc__") or ""))
        return texts


# ------------------------------------------------------------------------------------------------ answers
@dataclass(frozen=True)
class Grid:
    """A north-up raster grid.

    Attributes:
        crs: Coordinate reference system as WKT.
        transform: (pixel width, 0, west, 0, -pixel height, north), in CRS units.
        height: Rows.
        width: Columns.
    """

    crs: str
    transform: tuple[float, float, float, float, float, float]
    height: int
    width: int

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """(west, south, east, north) in CRS units."""
        a, _, west, _, e, north = self.transform
        ends = (west, west + a * self.width), (north + e * self.height, north)
        return min(ends[0]), min(ends[1]), max(ends[0]), max(ends[1])


@dataclass(frozen=True)
class Prediction:
    """Named arrays and their units.

    Attributes:
        arrays: Name -> array. All share their first dimension (rows), or their last two (H, W) when `grid` is given.
        units: Name -> unit; "1" for a ratio or probability.
        columns: Names along the last dimension of a two-dimensional table array (species, classes).
        grid: The raster grid, for maps.
    """

    arrays: Mapping[str, Array]
    units: Mapping[str, str] = field(default_factory=dict)
    columns: tuple[str, ...] = ()
    grid: Grid | None = None

    def to_frame(self) -> pd.DataFrame:
        """One row per site; a two-dimensional array gives one column per entry of `columns`."""
        import pandas as pd

        if self.grid is not None:
            raise InputError("DA404", "Prediction", "a map does not fit a table", "read its arrays instead")
        parts: dict[str, Array] = {}
        several = sum(np.ndim(a) == 2 for a in self.arrays.values()) > 1
        for name, array in self.arrays.items():
            if array.ndim == 1:
                parts[name] = array
            else:
                labels = self.columns or tuple(str(i) for i in range(array.shape[1]))
                parts |= {f"{name}:{c}" if several else c: array[:, i] for i, c in enumerate(labels)}
        return pd.DataFrame(parts)


@dataclass(frozen=True)
class Score:
    """One metric with its interval; `low` and `high` are nan where none was computed."""

    value: float
    low: float = float("nan")
    high: float = float("nan")
    n: int = 0


@dataclass(frozen=True)
class Scores:
    """Metric -> `Score`, how the data were split, and the rows they were averaged from."""

    metrics: Mapping[str, Score]
    split: str
    rows: Sequence[Mapping[str, Any]] = ()

    def to_frame(self) -> pd.DataFrame:
        """One row per metric."""
        import pandas as pd

        return pd.DataFrame(
            [{"metric": k, "value": s.value, "low": s.low, "high": s.high, "n": s.n} for k, s in self.metrics.items()]
        )


# ------------------------------------------------------------------------------------------------ evidence
@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What an answer rests on.

    Attributes:
        title: One line, shown as heading.
        exact: True when the prediction is computed from it, False when it is a post hoc account.
        note: How to read it, in a sentence or two.
        target: The species, class, pixel or date it is about; "" for the whole model.
    """

    kind: ClassVar[str] = ""
    title: str
    exact: bool = False
    note: str = ""
    target: str = ""

    def to_frame(self) -> pd.DataFrame:
        """The evidence as a tidy table."""
        raise NotImplementedError

    def _same_length(self, *names: str) -> None:
        lengths = {name: len(getattr(self, name)) for name in names if getattr(self, name) is not None}
        if len(set(lengths.values())) > 1:
            raise InputError("DA404", self.title, f"parts differ in length {lengths}", "give equally long parts")


@dataclass(frozen=True, kw_only=True)
class Curve(Evidence):
    """A response to a variable or date.

    Attributes:
        x: (N,) positions; for a categorical variable, 0..N-1 with `categories` naming them.
        y: (N,) response.
        lower: (N,) lower edge of the band, or None.
        upper: (N,) upper edge.
        references: Name -> (N,) curves to compare with.
        name: What `y` is called among the references, where it is one of several equals such as species.
        support: (Q,) values of x seen in training, drawn as a rug; outside them the curve extrapolates.
    """

    kind: ClassVar[str] = "curve"
    x: Array
    y: Array
    x_label: str
    y_label: str
    x_unit: str = ""
    y_unit: str = ""
    lower: Array | None = None
    upper: Array | None = None
    band: str = ""
    references: Mapping[str, Array] = field(default_factory=dict)
    name: str = ""
    support: Array | None = None
    categories: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        self._same_length("x", "y", "lower", "upper", "categories")

    def to_frame(self) -> pd.DataFrame:
        """Columns x, y, lower, upper and one per reference."""
        import pandas as pd

        x = self.x if self.categories is None else np.asarray(self.categories, dtype=object)
        table: dict[str, Any] = {"x": x, "y": self.y}
        if self.lower is not None:
            table |= {"lower": self.lower, "upper": self.upper}
        return pd.DataFrame(table | dict(self.references))


@dataclass(frozen=True, kw_only=True)
class Overlay(Evidence):
    """Weights on an image or map: parts, masks, prototypes, attention, a suitability map.

    Attributes:
        weights: (K, H, W) one layer per name; nan where there is nothing to show.
        names: K layer names.
        image: (H, W) or (H, W, 3) background, or None.
        unit: Unit of the weights.
        extent: (west, east, south, north) in CRS units, or None for pixels.
        points: (P, 2) x, y of marks in the same units as `extent`, or None.
        legend: For integer classes: value -> label.
        x_label: Name of the horizontal axis where the picture is no map, such as a covariate; "" for a map.
        y_label: Name of the vertical axis.
        x_unit: Unit of the horizontal axis.
        y_unit: Unit of the vertical axis.
        x_names: W names of the columns, for a matrix or a categorical axis; () for a continuous one.
        y_names: H names of the rows, from the top.
    """

    kind: ClassVar[str] = "overlay"
    weights: Array
    names: tuple[str, ...]
    image: Array | None = None
    unit: str = "1"
    extent: tuple[float, float, float, float] | None = None
    points: Array | None = None
    legend: Mapping[int, str] = field(default_factory=dict)
    x_label: str = ""
    y_label: str = ""
    x_unit: str = ""
    y_unit: str = ""
    x_names: tuple[str, ...] = ()
    y_names: tuple[str, ...] = ()

    @property
    def is_map(self) -> bool:
        """False for a picture whose axes are covariates or names."""
        return not (self.x_label or self.y_label or self.x_names or self.y_names)

    def __post_init__(self) -> None:
        if self.weights.ndim != 3 or len(self.names) != self.weights.shape[0]:
            raise InputError(
                "DA404", self.title, f"weights {self.weights.shape} for {len(self.names)} names", "pass (K, H, W)"
            )
        for names, size, axis in ((self.x_names, 2, "columns"), (self.y_names, 1, "rows")):
            if names and len(names) != self.weights.shape[size]:
                what = f"{len(names)} names for {self.weights.shape[size]} {axis}"
                raise InputError("DA404", self.title, what, f"name all {axis} or none")

    def to_frame(self) -> pd.DataFrame:
        """One row per layer: share of valid pixels, minimum, mean, maximum; a named matrix is given cell by cell."""
        import pandas as pd

        if self.x_names and self.y_names:
            return self._matrix_frame()
        rows = []
        for name, layer in zip(self.names, self.weights, strict=True):
            valid = layer[np.isfinite(layer)]
            some = valid if valid.size else np.array([np.nan])
            rows.append(
                {
                    "name": name,
                    "valid": valid.size / max(layer.size, 1),
                    "min": some.min(),
                    "mean": some.mean(),
                    "max": some.max(),
                }
            )
        return pd.DataFrame(rows)

    def _matrix_frame(self) -> pd.DataFrame:
        import pandas as pd

        k, height, width = self.weights.shape
        table: dict[str, Any] = {"name": np.repeat(np.array(self.names, dtype=object), height * width)} if k > 1 else {}
        table["row"] = np.tile(np.repeat(np.array(self.y_names, dtype=object), width), k)
        table["column"] = np.tile(np.array(self.x_names, dtype=object), k * height)
        return pd.DataFrame(table | {"value": self.weights.ravel()})


@dataclass(frozen=True, kw_only=True)
class Contributions(Evidence):
    """Named terms of a score.

    Attributes:
        names: K term names.
        values: (K,) their values.
        additive: True when the terms add up to `total` (checked); False for importances, which do not.
        total: What they add up to.
        lower: (K,) lower edge of an interval, or None.
        upper: (K,) upper edge.
        children: Term name -> its own `Contributions`.
        gallery: Term name -> `Gallery` of training examples.
    """

    kind: ClassVar[str] = "contributions"
    names: tuple[str, ...]
    values: Array
    additive: bool = False
    total: float | None = None
    unit: str = "1"
    lower: Array | None = None
    upper: Array | None = None
    band: str = ""
    children: Mapping[str, Contributions] = field(default_factory=dict)
    gallery: Mapping[str, Gallery] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._same_length("names", "values", "lower", "upper")
        if self.additive and (
            self.total is None or not np.isclose(np.sum(self.values), self.total, rtol=1e-4, atol=1e-5)
        ):
            raise InputError(
                "DA404", self.title, "the terms do not add up to the total", "pass additive=False or all terms"
            )

    def to_frame(self) -> pd.DataFrame:
        """Columns name, value, lower, upper."""
        import pandas as pd

        table: dict[str, Any] = {"name": list(self.names), "value": self.values}
        if self.lower is not None:
            table |= {"lower": self.lower, "upper": self.upper}
        return pd.DataFrame(table)


@dataclass(frozen=True, kw_only=True)
class Gallery(Evidence):
    """Nearest training patches.

    Attributes:
        images: (K, H, W) or (K, H, W, 3), values 0..1 or uint8.
        captions: K captions.
        similarity: (K,) similarity to the query, or None.
    """

    kind: ClassVar[str] = "gallery"
    images: Array
    captions: tuple[str, ...]
    similarity: Array | None = None

    def __post_init__(self) -> None:
        self._same_length("images", "captions", "similarity")

    def to_frame(self) -> pd.DataFrame:
        """Columns caption, similarity."""
        import pandas as pd

        table: dict[str, Any] = {"caption": list(self.captions)}
        return pd.DataFrame(table if self.similarity is None else table | {"similarity": self.similarity})


@dataclass(frozen=True, kw_only=True)
class Passages(Evidence):
    """Sentences with weights.

    Attributes:
        sentences: K sentences.
        weights: (K,) weights.
        sources: K origins, or ().
    """

    kind: ClassVar[str] = "passages"
    sentences: tuple[str, ...]
    weights: Array
    sources: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        self._same_length("sentences", "weights")

    def to_frame(self) -> pd.DataFrame:
        """Columns sentence, weight, source."""
        import pandas as pd

        sources = list(self.sources) or [""] * len(self.sentences)
        return pd.DataFrame({"sentence": list(self.sentences), "weight": self.weights, "source": sources})


Verdict = Literal["pass", "fail", "note"]


@dataclass(frozen=True, kw_only=True)
class Check(Evidence):
    """A claim, the measured value, its bound, the verdict; `details` are (label, value) rows of a small table."""

    kind: ClassVar[str] = "check"
    claim: str
    measured: float
    bound: float = float("nan")
    unit: str = "1"
    verdict: Verdict = "note"
    details: tuple[tuple[str, str], ...] = ()

    def to_frame(self) -> pd.DataFrame:
        """One row: claim, measured, bound, unit, verdict."""
        import pandas as pd

        names = ("claim", "measured", "bound", "unit", "verdict")
        return pd.DataFrame([{name: getattr(self, name) for name in names}])


EVIDENCE_KINDS: dict[str, type[Evidence]] = {
    c.kind: c for c in (Curve, Overlay, Contributions, Gallery, Passages, Check)
}


def evidence_fields(evidence: Evidence) -> dict[str, Any]:
    """Field name -> value, not recursing, for storing and drawing."""
    return {f.name: getattr(evidence, f.name) for f in fields(evidence)}


# ------------------------------------------------------------------------------------------------ the system
class System:
    """One published method, from real input to an answer with evidence.

    A subclass names its option models and implements the verbs. `run` arguments are run folders
    (`ecotone.files.run.RunFolder`) or None for work in memory.

    Attributes:
        Inputs: What `fit` reads.
        Query: What `predict`, `evaluate` and `explain` read; empty means the data of `fit`.
        Config: How it learns.
        Ask: What a question may add.
        progress: Whether long work shows how far it is.
    """

    progress: bool = False
    name: ClassVar[str]
    Inputs: ClassVar[Any]
    Query: ClassVar[Any]
    Config: ClassVar[Any]
    Ask: ClassVar[Any]
    config: Any

    def __init__(self, config: Options | Mapping[str, Any] | None = None, **options: Any) -> None:
        if isinstance(config, Options):
            config = config.model_dump()
        self.config = self.Config.parse(config, **options)

    def input_files(self, inputs: Options) -> list[Path]:
        """The files `fit` will read, for the record; missing ones are an error now rather than later."""
        raise NotImplementedError

    def fit(self, data: Any, *, validation: Any = None, run: Any = None) -> Self:
        """Learns from `data` (an `Inputs`, or the prepared form the system documents)."""
        raise NotImplementedError

    def predict(self, data: Any, **ask: Any) -> Prediction:
        """Answers for `data`; `ask` holds fields of `Ask`."""
        raise NotImplementedError

    def explain(self, data: Any = None, *, target: Any = None, **ask: Any) -> list[Evidence]:
        """Says what the answers rest on."""
        raise NotImplementedError

    def tables(self) -> Mapping[str, pd.DataFrame]:
        """File name -> table that belongs beside the evidence; none by default."""
        return {}

    def evaluate(self, data: Any = None) -> Scores:
        """Scores the fitted system, with intervals and the split they come from."""
        raise NotImplementedError

    def save(self, folder: Path) -> None:
        """Writes model.safetensors, config.json, preprocessing.json and card.md."""
        raise NotImplementedError

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Reads what `save` wrote; refuses anything else."""
        raise NotImplementedError
