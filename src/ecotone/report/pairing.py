"""What in one run corresponds to what in another: by kind of evidence, target and title, whatever the systems."""

from __future__ import annotations

from collections.abc import Callable, Container, Hashable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from ecotone.contract import Curve, Evidence
from ecotone.report.blocks import short_title
from ecotone.report.style import pretty_unit

T = TypeVar("T")


@dataclass(frozen=True)
class Pairs(Generic[T]):
    """Two lists laid side by side.

    Attributes:
        both: What corresponds, in the order of the first list.
        only_run: What the first list holds alone.
        only_other: What the second holds alone.
    """

    both: tuple[tuple[T, T], ...]
    only_run: tuple[T, ...]
    only_other: tuple[T, ...]


def pair(
    run: Sequence[T], other: Sequence[T], key: Callable[[T], Hashable], *looser: Callable[[T], Hashable | None]
) -> Pairs[T]:
    """Pairs two lists by a key, and what is left by looser keys where these name one thing on each side only.

    Args:
        run: One list.
        other: The other.
        key: Things with the same key correspond, in their order.
        looser: Further keys, tried in turn; None for things that have none.
    """
    found: dict[int, T] = {}
    taken: set[int] = set()
    by_key: dict[Hashable, list[int]] = {}
    for j in reversed(range(len(other))):
        by_key.setdefault(key(other[j]), []).append(j)
    for i, item in enumerate(run):
        if same := by_key.get(key(item)):
            taken.add(j := same.pop())
            found[i] = other[j]
    for loose in looser:
        sides = [_unique(loose, run, found), _unique(loose, other, taken)]
        for name, i in sides[0].items():
            if (j := sides[1].get(name)) is not None:
                taken.add(j)
                found[i] = other[j]
    return Pairs(
        both=tuple((item, found[i]) for i, item in enumerate(run) if i in found),
        only_run=tuple(item for i, item in enumerate(run) if i not in found),
        only_other=tuple(item for j, item in enumerate(other) if j not in taken),
    )


def pair_evidence(run: Sequence[Evidence], other: Sequence[Evidence]) -> Pairs[Evidence]:
    """Evidence of the same kind, target and title; response curves also by the variable on their axis."""
    return pair(run, other, _title_key, _axis_key)


def about(item: Evidence) -> str:
    """The title without its target, as it stands under a heading that names the target."""
    return short_title(item.title, item.target)


def _title_key(item: Evidence) -> Hashable:
    return item.kind, item.target, " ".join(about(item).casefold().split())


def _axis_key(item: Evidence) -> Hashable | None:
    if not isinstance(item, Curve):
        return None
    return item.target, item.x_label.casefold(), pretty_unit(item.x_unit), item.categories is None


def _unique(key: Callable[[T], Hashable | None], items: Sequence[T], used: Container[int]) -> dict[Hashable, int]:
    """Key -> position, for the keys that one unused thing has alone."""
    places: dict[Hashable, list[int]] = {}
    for i, item in enumerate(items):
        if i not in used and (name := key(item)) is not None:
            places.setdefault(name, []).append(i)
    return {name: where[0] for name, where in places.items() if len(where) == 1}
