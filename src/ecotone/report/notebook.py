"""Evidence in a notebook: the same blocks as on the page of a run."""

from __future__ import annotations

from collections.abc import Iterable

from ecotone.contract import Evidence
from ecotone.report.blocks import Budget, build_block
from ecotone.report.page import environment


class Shown(str):
    """HTML that a notebook displays."""

    __slots__ = ()

    def _repr_html_(self) -> str:
        return str(self)


def show(evidence: Evidence | Iterable[Evidence], *, max_figures: int = 40) -> Shown:
    """HTML of some evidence: figures with text alternatives, and their tables.

    Args:
        evidence: One piece, or several.
        max_figures: Figures drawn at most.

    Returns:
        A `str` that a notebook shows as HTML.
    """
    items = [evidence] if isinstance(evidence, Evidence) else list(evidence)
    budget = Budget(figures=max_figures)
    blocks = [build_block(item, budget) for item in items]
    template = environment().get_template("notebook.html.j2")
    return Shown(template.render(blocks=blocks, left_out=budget.left_out))
