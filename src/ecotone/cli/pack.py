"""`ecotone data pack SITES --out STORE`: Parquet tables of any size into a site store."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from ecotone.cli.common import need_out, show_help
from ecotone.cli.options import parse, read
from ecotone.cli.screen import say
from ecotone.contract import Options
from ecotone.errors import InputError

USAGE = "ecotone data pack SITES --out STORE [--labels TABLE]"


class PackOptions(Options):
    """Options of packing.

    Attributes:
        out: The store, a folder that does not exist yet.
        labels: Table of triples (columns site, species, count) in any order; site is the row number among the sites, from 0.
        background: Table of uniform random cells with the same covariates.
        covariates: Columns that are covariates; by default all numbers that have no other role.
        exclude: Columns to leave out.
        categorical: Covariates whose values are labels.
        species_column: Column of lists of species, or of one species per site.
        count_column: Column of lists of counts beside it.
        species_list: Text file with one species per line; numbers in the data are then line numbers, from 0.
        weight: Column of relative weights as background.
        x: Column of longitudes or eastings.
        y: Column of latitudes or northings.
        debug: Show tracebacks.
        quiet: No summary.
    """

    out: str | None = None
    labels: str | None = None
    background: str | None = None
    covariates: list[str] = Field(default_factory=list)
    exclude: list[str] = Field(default_factory=list)
    categorical: list[str] = Field(default_factory=list)
    species_column: str = "species"
    count_column: str = "count"
    species_list: str | None = None
    weight: str | None = None
    x: str | None = None
    y: str | None = None
    debug: bool = False
    quiet: bool = False


def help_text() -> None:
    """Prints the help of `ecotone data pack`."""
    show_help(
        USAGE,
        "Packs a Parquet file or a folder of them, one row per site, into a store that training reads in constant memory.",
        ("options", PackOptions),
    )


def run(sites: str, tokens: list[str]) -> None:
    """The action.

    Args:
        sites: File or folder.
        tokens: What stands after it.
    """
    (given,) = parse(tokens, PackOptions)
    options = read(PackOptions, given)
    out = need_out(options, "store")
    names = None if options.species_list is None else _lines(Path(options.species_list))
    from ecotone.data.site_store import SiteStore

    roles = options.model_dump(exclude={"out", "species_list", "debug", "quiet"})
    with SiteStore.from_parquet(sites, out, species=names, **roles) as store:
        say(
            f"{store.n_sites:,} sites, {len(store.covariates)} covariates, {len(store.species):,} species, "
            f"{store.n_entries:,} records, {store.n_background:,} background cells: {out}",
            quiet=options.quiet,
        )


def _lines(path: Path) -> list[str]:
    if not path.is_file():
        raise InputError("IO101", path, "not found", "check the path")
    try:
        return [line for line in path.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise InputError("IO102", path, f"cannot be read ({error})"[:200], "save it as UTF-8 text") from error
