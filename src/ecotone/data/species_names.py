"""Species of a table that is read as a stream: first the names that occur, then their numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ecotone.errors import InputError, suggest

Array = np.ndarray
MAX_SPECIES = 1_000_000


class SpeciesNames:
    """The list of species, given or found.

    Args:
        given: S names; numbers in the data are then places in this list. None: what occurs makes the list, sorted, and
            numbers are names like others.

    Attributes:
        names: S names; final after `settle`.
    """

    def __init__(self, given: Sequence[str] | None = None) -> None:
        self._given = given is not None
        self.names = [str(name) for name in given or ()]
        self._seen: set[Any] = set()
        self._place: dict[Any, int] = {name: j for j, name in enumerate(self.names)}

    def see(self, values: Any, where: Callable[[int], str]) -> None:
        """Notes the names of an arrow array; `where` says where its k-th entry stands.

        Raises:
            InputError: OC204 for values that are neither text nor whole numbers, DA404 for missing ones or too many kinds.
        """
        _check(values, where)
        if self._given:
            self.index(values, where)
            return
        self._seen.update(values.unique().to_pylist())
        if "" in self._seen:
            k = int(np.flatnonzero(np.asarray(values.to_pylist(), dtype=object) == "")[0])
            raise InputError("DA404", where(k), "a record names no species", "leave these records out")
        if len(self._seen) > MAX_SPECIES:
            what = f"more than {MAX_SPECIES:,} different species"
            raise InputError("DA404", where(len(values) - 1), what, "check the column")

    def settle(self, where: Path) -> None:
        """Ends the looking.

        Raises:
            InputError: OC205 when no species occurs.
        """
        if not self._given:
            found = sorted(self._seen)
            self.names = [str(name) for name in found]
            self._place = {name: j for j, name in enumerate(found)}
        if not self.names:
            raise InputError("OC205", where, "names no species", "pass sites with records")

    def index(self, values: Any, where: Callable[[int], str]) -> Array:
        """(n,) numbers of the species of an arrow array.

        Raises:
            InputError: DA404 for a species that is not in the list, with how many and where; as `see`.
        """
        import pyarrow as pa

        _check(values, where)
        if not len(values):
            return np.empty(0, np.int64)
        if self._given and pa.types.is_integer(values.type):
            found = values.to_numpy(zero_copy_only=False).astype(np.int64)
            found = np.where((found >= 0) & (found < len(self.names)), found, -1)
        else:
            coded = values if isinstance(values, pa.DictionaryArray) else values.dictionary_encode()
            places = [self._place.get(name, -1) for name in coded.dictionary.to_pylist()]
            found = np.asarray(places, np.int64)[coded.indices.to_numpy(zero_copy_only=False)]
        if (found < 0).any():
            odd = np.flatnonzero(found < 0)
            name = values[int(odd[0])].as_py()
            fix = suggest(name, self.names) if isinstance(name, str) and len(self.names) < 10_000 else "check the list"
            if isinstance(name, int):
                fix = f"numbers count places in the list of {len(self.names)} species, from 0"
            raise InputError(
                "DA404", where(int(odd[0])), f"{name!r} is not in the list of species ({len(odd)} such)", fix
            )
        return found


def _check(values: Any, where: Callable[[int], str]) -> None:
    import pyarrow as pa

    kind = values.type.value_type if pa.types.is_dictionary(values.type) else values.type
    types = pa.types
    if not (
        types.is_integer(kind) or types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind)
    ):
        if types.is_null(kind) and not len(values):
            return
        raise InputError("OC204", where(0), f"species are {kind}, neither text nor whole numbers", "make them either")
    if values.null_count:
        missing = np.flatnonzero(values.is_null().to_numpy(zero_copy_only=False))
        what = f"{len(missing)} records name no species"
        raise InputError("DA404", where(int(missing[0])), what, "leave these records out")
