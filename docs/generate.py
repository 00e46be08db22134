"""Writes the pages and tables of the documentation that follow from the code or from committed results.

``python docs/generate.py`` brings all of them up to date; ``--check`` only says which are stale (exit status 1).
Whole pages: docs/reference/{cli,species,deepmaxent,maxent,phenology,errors,limits}.md. Blocks between markers: the tables of
methods and of accuracy in README.md and docs/.
"""
# ruff: noqa: T201

from __future__ import annotations

import io
import os
import re
import sys
from collections.abc import Callable, Mapping
from contextlib import redirect_stdout
from importlib import import_module
from pathlib import Path
from typing import Any

from ecotone.cli.main import VERBS
from ecotone.cli.main import main as ecotone
from ecotone.cli.options import RunOptions, describe
from ecotone.contract import Options
from ecotone.errors import CODES
from ecotone.files.atomic import write_text
from ecotone.registry import SYSTEMS

sys.path.insert(0, str(Path(__file__).parent))
import bloom_results
import parts_results

import results
from results import table

ROOT = Path(__file__).resolve().parents[1]
NOTE = "<!-- Made by docs/generate.py from the code; do not edit. -->\n\n"


# ------------------------------------------------------------------------------------------------ command line
def help_text(*arguments: str) -> str:
    """What a command prints."""
    before = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = "100"
    try:
        with redirect_stdout(io.StringIO()) as printed:
            ecotone(list(arguments))
    finally:
        if before is None:
            del os.environ["COLUMNS"]
        else:
            os.environ["COLUMNS"] = before
    text = "\n".join(line.rstrip() for line in printed.getvalue().strip().splitlines())
    return re.sub(r"\n{3,}", "\n\n", text)


def cli_page() -> str:
    """Every verb with its help."""
    parts = [
        NOTE,
        "# Command line\n\n",
        "One thin verb per question. A list option takes all values up to the next option, as a shell expands a pattern\n",
        "(`--covariates clim/*.tif`), and may be repeated; a flag is `--swap-xy` or `--no-swap-xy`. Verbs that read or write a\n",
        "run also take these:\n\n",
        option_table(RunOptions),
        "\nOnce a run exists, `ecotone VERB RUN --help` shows the options of its system; for species maps they are listed\n",
        "under [Species map options](species.md). Exit statuses: 0 fine, 1 a bug, 2 usage, 3 input, 4 missing optional\n",
        "dependency, 5 integrity, 6 interrupted and resumable. The codes are under [Errors and warnings](errors.md).\n",
    ]
    for verb, text in VERBS.items():
        summary, _, usage = text.partition(": ")
        parts += [f"\n## ecotone {verb}\n\n{summary}: {usage}\n\n```text\n{help_text(verb, '--help')}\n```\n"]
    from ecotone.bench.registry import BENCHES

    parts += ["\n## Benchmarks\n\n"]
    for name in BENCHES:
        parts += [f"### {name}\n\n```text\n{help_text('bench', name, '--help')}\n```\n\n"]
    return "".join(parts).rstrip() + "\n"


# ------------------------------------------------------------------------------------------------ options
def bounds(model: type[Options], key: str) -> str:
    """The range a number may take, from its annotation."""
    words = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}
    found = [
        f"{words[name]} {getattr(part, name):,}".replace(",", "\u202f")
        for part in model.model_fields[key].metadata
        for name in words
        if getattr(part, name, None) is not None
    ]
    return ", ".join(found)


def shown(value: Any) -> str:
    """A default as it is written."""
    if value is None or value == []:
        return ""
    if isinstance(value, list | tuple):
        return ", ".join(f"`{v}`" for v in value)
    return "yes" if value is True else "no" if value is False else f"`{value}`"


def option_table(model: type[Options], presets: Mapping[str, Mapping[str, Any]] | None = None) -> str:
    """Options of a model: key, option, values, range, default and meaning."""
    rows = []
    for (key, field), (option, values, help_line) in zip(model.model_fields.items(), describe(model), strict=True):
        text = re.sub(r" \[[^\[\]]*\]$|(?<=\.)? ?\(required\)$", "", help_line)
        default = "required" if field.is_required() else shown(field.get_default(call_default_factory=True))
        defaults = [default]
        if presets is not None:
            defaults = [shown(p.get(key, n if key == "preset" else None)) or default for n, p in presets.items()]
        yes_no = bool in getattr(field.annotation, "__args__", ())
        takes = (
            "flag"
            if field.annotation is bool
            else "true, false"
            if yes_no
            else values.replace("|", ", ").replace("NUMBER", "number").replace("VALUE", "text")
        )
        limits = bounds(model, key)
        rows.append([f"`{option}`", f"{takes} {limits}".strip(), *defaults, text.replace("<", "&lt;")])
    head = ["option", "takes", *(presets or {"default": {}}), "meaning"]
    return table(head, rows)


def species_page() -> str:
    """Options that all species systems share."""
    from ecotone.cli.map import MapOptions
    from ecotone.species.options import Ask, Inputs, Query

    return "".join(
        [
            NOTE,
            "# Species map options\n\n",
            "What `deepmaxent` and `maxent` read and can be asked. How they learn: [DeepMaxent options](deepmaxent.md),\n",
            "[Maxent options](maxent.md).\n",
            "The same names everywhere: `--background-cells` on the command line is `background_cells` in Python, in\n",
            "`config.json` and `run.json`. Unknown names are an error that suggests the closest known one.\n\n",
            "## What fit reads\n\n`ecotone fit SYSTEM`, class `Inputs`.\n\n",
            option_table(Inputs),
            "\n## What predict and evaluate read\n\n`ecotone predict RUN`, `ecotone evaluate RUN`, class `Query`.\n\n",
            option_table(Query),
            "\n## What an answer may add\n\n`ecotone predict RUN`, `ecotone map RUN`, `ecotone explain RUN`, class `Ask`.\n\n",
            option_table(Ask),
            "\n## Maps\n\n`ecotone map RUN`, besides the above.\n\n",
            option_table(MapOptions),
        ]
    )


def deepmaxent_page() -> str:
    """How DeepMaxent learns."""
    from ecotone.systems.deepmaxent.config import PRESETS, Config

    return "".join(
        [
            NOTE,
            "# DeepMaxent options\n\n",
            "How it learns: `ecotone fit deepmaxent`, class `Config`, and the keyword arguments of `ecotone.DeepMaxent`. Two\n",
            "presets: `ecotone` is the default, `paper` the published recipe. Any option given overrides the preset.\n",
            "What it reads and can be asked: [Species map options](species.md).\n\n",
            option_table(Config, {name: PRESETS[name] for name in ("ecotone", "paper")}),
        ]
    )


def maxent_page() -> str:
    """How Maxent learns."""
    from ecotone.systems.maxent.config import Config

    return "".join(
        [
            NOTE,
            "# Maxent options\n\n",
            "How it learns: `ecotone fit maxent`, class `Config`, and the keyword arguments of `ecotone.Maxent`.\n",
            "What it reads and can be asked: [Species map options](species.md).\n\n",
            option_table(Config),
        ]
    )


def phenology_page() -> str:
    """What the bloom date system reads, how it learns, and what it can be asked."""
    from ecotone.systems.phenology.hybrid.config import PAPER, HybridConfig
    from ecotone.systems.phenology.options import Ask, Inputs, Query

    return "".join(
        [
            NOTE,
            "# Bloom date options\n\n",
            "The same names everywhere: `--season-start` on the command line is `season_start` in Python, in `config.json` and\n",
            "`run.json`. Unknown names are an error that suggests the closest known one.\n\n",
            "## What fit reads\n\n`ecotone fit phenology`, class `Inputs`.\n\n",
            option_table(Inputs),
            "\n## How it learns\n\n`ecotone fit phenology`, class `HybridConfig`. Any option given overrides the preset.\n\n",
            option_table(HybridConfig, {"ecotone": {}, "paper": PAPER}),
            "\n## What predict and evaluate read\n\n`ecotone predict RUN`, `ecotone evaluate RUN`, class `Query`.\n\n",
            option_table(Query),
            "\n## What an answer may add\n\n`ecotone predict RUN`, `ecotone explain RUN`, class `Ask`.\n\n",
            option_table(Ask),
        ]
    )


def images_page() -> str:
    """What the image systems read, how they learn, and what they can be asked."""
    from ecotone.systems.ifam.config import IfamAsk, IfamConfig, IfamQuery
    from ecotone.systems.pdiscoformer.config import PRESETS, PDiscoFormerConfig
    from ecotone.vision.options import Ask, Inputs, Query

    return "".join(
        [
            NOTE,
            "# Image options\n\n",
            "The same names everywhere: `--image-size` on the command line is `image_size` in Python and in `config.json`.\n\n",
            "## What fit reads\n\n`ecotone fit pdiscoformer`, `ecotone fit ifam`, class `Inputs`.\n\n",
            option_table(Inputs),
            "\n## How PDiscoFormer learns\n\nClass `PDiscoFormerConfig`. Any option given overrides the preset.\n\n",
            option_table(PDiscoFormerConfig, PRESETS),
            "\n## How iFAM learns\n\nClass `IfamConfig`.\n\n",
            option_table(IfamConfig),
            "\n## What predict and evaluate read\n\n`ecotone predict RUN`, `ecotone evaluate RUN`, class `Query`.\n\n",
            option_table(Query),
            "\niFAM also reads masks, class `IfamQuery`.\n\n",
            option_table(IfamQuery),
            "\n## What an answer may add\n\n`ecotone predict RUN`, `ecotone explain RUN`, class `Ask`.\n\n",
            option_table(Ask),
            "\nAnd for iFAM, class `IfamAsk`.\n\n",
            option_table(IfamAsk),
        ]
    )


# ------------------------------------------------------------------------------------------------ errors, limits
GROUPS: dict[str, tuple[str, str]] = {
    "US": ("Usage", "2"),
    "IO": ("Files", "3"),
    "OC": ("Occurrences", "3"),
    "RA": ("Rasters", "3"),
    "DA": ("Data", "3"),
    "PH": ("Bloom dates and temperatures", "3"),
    "IM": ("Images", "3"),
    "TR": ("Training", "3"),
    "MD": ("Optional dependency", "4"),
    "IN": ("Integrity", "5"),
    "ST": ("Interrupted, resumable", "6"),
}


def errors_page() -> str:
    """Every code."""
    parts = [
        NOTE,
        "# Errors and warnings\n\n",
        "An expected error is one line, `error[CODE]: where: what is wrong - what to do`, and an exit status; a\n",
        "warning has the same form and the work goes\n",
        "on. Codes keep their meaning from release to release. `--debug` adds the traceback.\n",
        "`ecotone list errors` prints this list.\n",
    ]
    left = dict(CODES)
    for prefix, (title, status) in GROUPS.items():
        own = {code: text for code, text in left.items() if code.startswith(prefix)}
        left = {code: text for code, text in left.items() if code not in own}
        if own:
            rows = [(f"`{code}`", text) for code, text in own.items()]
            parts += [f"\n## {title}\n\nExit status {status}.\n\n", table(["code", "meaning"], rows)]
    if left:
        raise SystemExit(f"codes without a group in docs/generate.py: {', '.join(left)}")
    return "".join(parts)


LIMITS: tuple[tuple[str, str, str], ...] = (
    ("ecotone.data.raster_open:MAX_CELLS", "cells", "of a raster, from its header"),
    ("ecotone.data.raster_open:MAX_BANDS", "", "bands of a raster"),
    ("ecotone.data.raster_open:MAX_BLOCK_BYTES", "bytes", "of one block of a raster, unpacked"),
    ("ecotone.data.rasters:MAX_LEVELS", "", "categories of a categorical raster"),
    ("ecotone.data.image_files:MAX_PIXELS", "pixels", "of an image, from its header"),
    ("ecotone.mapping.plan:TARGET_PIXELS", "cells", "of a map's window; fewer where the memory asks for it"),
    ("ecotone.mapping.inputs:WHOLE_BYTES", "bytes", "of a raster whose whole content names it in a map's journal"),
    ("ecotone.mapping.pool:TRIES", "", "workers that may die on one window of a map"),
    ("ecotone.data.stac:MAX_ITEM_BYTES", "bytes", "of a STAC Item"),
    ("ecotone.data.stac:MAX_ASSETS", "", "assets of a STAC Item"),
    ("ecotone.files.model_folder:MAX_WEIGHTS", "bytes", "of `model.safetensors`"),
    ("ecotone.files.model_folder:MAX_HEADER", "bytes", "of its header"),
    ("ecotone.files.model_folder:MAX_CONFIG", "bytes", "of `config.json`"),
    ("ecotone.files.model_folder:MAX_PREPROCESSING", "bytes", "of `preprocessing.json`"),
    ("ecotone.files.model_folder:MAX_CARD", "bytes", "of `card.md`"),
    ("ecotone.files.bounded:MAX_DEPTH", "", "levels of nesting in a JSON file"),
    ("ecotone.files.bounded:MAX_CONTAINERS", "", "lists and objects in a JSON file"),
    ("ecotone.files.evidence:MAX_ITEMS", "", "pieces of evidence in a run"),
    ("ecotone.files.evidence:MAX_JSON", "bytes", "of one piece of evidence, text"),
    ("ecotone.files.evidence:MAX_ARRAYS", "bytes", "of one piece of evidence, arrays"),
    ("ecotone.report.page:MAX_TARGETS", "", "species with a section of their own in a report"),
    ("ecotone.report.maps:MAX_SIDE", "pixels", "longest side of a map shown in a report"),
    ("ecotone.species.evidence:MAX_SPECIES", "", "species with curves, unless one is named with `--target`"),
    ("ecotone.vision.memory:EXAMPLES", "", "test images that an image model keeps"),
    ("ecotone.vision.memory:GALLERY", "", "training images that an image model keeps"),
    ("ecotone.species.background:MIN_SITES", "", "sites with records below which there is no target group"),
    (
        "ecotone.report.map_pairs:MAX_CELLS",
        "cells",
        "of a map that are compared between two runs; larger ones are reduced",
    ),
    ("ecotone.report.map_pairs:MAX_BANDS", "bands", "of a map that are compared between two runs"),
    ("ecotone.report.compare_page:MAX_CURVES", "", "response curves drawn in a comparison; all are in its tables"),
    ("ecotone.systems.deepmaxent.choose:MIN_SITES", "", "sites below which no background share is validated"),
    (
        "ecotone.species.evaluation:MIN_RECORDS",
        "",
        "records a species needs to be scored in cross-validation",
    ),
)


def limits_page() -> str:
    """Bounds that are not options."""
    rows = []
    for target, unit, text in LIMITS:
        module, name = target.split(":")
        value = getattr(import_module(module), name)
        rows.append([f"{amount(value, unit)}", text, f"`{module}.{name}`"])
    return "".join(
        [
            NOTE,
            "# Limits\n\n",
            "Bounds that are not options. They are checked from headers before anything large is read or\n",
            "allocated; what lies\n",
            "beyond them is refused with a code of [Errors and warnings](errors.md). The ranges and defaults of options\n",
            "stand under\n",
            "[DeepMaxent options](deepmaxent.md) and the pages beside it.\n\n",
            table(["limit", "of what", "where"], rows),
            "\nFiles: tables as CSV, TSV or other delimited text (also gzipped), GeoPackage, GeoParquet, GeoJSON or shapefile;\n",
            "rasters in\n",
            "the GDAL formats listed in `ecotone.data.raster_open.DRIVERS`. Network paths and archives are refused, and so are\n",
            "VRT files unless `--allow-vrt` is given.\n",
        ]
    )


def amount(value: int, unit: str) -> str:
    """A number that can be read."""
    for power, name in ((40, "Ti"), (30, "Gi"), (20, "Mi")):
        if unit == "bytes" and value >= 1 << power and value % (1 << power) == 0:
            return f"{value >> power} {name}B"
    if value >= 1 << 40 and value & (value - 1) == 0:
        return f"2^{value.bit_length() - 1} {unit}".strip()
    return f"{value:,} {unit}".replace(",", "\u202f").strip()


# ------------------------------------------------------------------------------------------------ blocks
def systems_block() -> str:
    """The methods and what works today."""
    rows = []
    for name, entry in SYSTEMS.items():
        state = "**ready**" if entry.target else "planned"
        kind, number = entry.paper.split(" ")
        site = {"arXiv": "https://arxiv.org/abs", "doi": "https://doi.org"}[kind]
        rows.append([f"`{name}`", entry.eats, entry.gives, f"[{entry.paper}]({site}/{number})", state])
    return table(["method", "from", "to", "paper", "status"], rows)


BLOCKS: tuple[tuple[str, str, Callable[[], str]], ...] = (
    ("README.md", "systems", systems_block),
    ("README.md", "nceas", lambda: results.nceas_block(regions=False)),
    ("docs/explanation/measuring-bloom.md", "cherry", bloom_results.cherry_block),
    ("docs/explanation/measuring-bloom.md", "cherry-monthly", lambda: bloom_results.cherry_block("cherry_monthly")),
    ("docs/explanation/measuring-bloom.md", "recovery", bloom_results.recovery_block),
    ("docs/explanation/measuring-bloom.md", "trees", bloom_results.trees_block),
    ("docs/explanation/measuring-bloom.md", "bloom-speed", bloom_results.bloom_speed_block),
    ("docs/index.md", "systems", systems_block),
    ("docs/explanation/measuring.md", "nceas", lambda: results.nceas_block(regions=True)),
    ("docs/explanation/measuring.md", "archipelago", results.archipelago_block),
    ("docs/explanation/measuring.md", "speed", results.speed_block),
    ("docs/explanation/maxent.md", "glmnet", results.glmnet_block),
    ("docs/how-to/continent.md", "maps", results.maps_block),
    ("docs/how-to/continent.md", "kills", results.kills_block),
    ("docs/how-to/streaming.md", "streaming", results.streaming_block),
    ("docs/explanation/maxent.md", "maxent", results.maxent_block),
    ("docs/explanation/parts.md", "part-speed", parts_results.part_speed_block),
    ("docs/explanation/parts.md", "creatures", parts_results.card_block),
)
PAGES: dict[str, Callable[[], str]] = {
    "docs/reference/cli.md": cli_page,
    "docs/reference/species.md": species_page,
    "docs/reference/phenology.md": phenology_page,
    "docs/reference/images.md": images_page,
    "docs/reference/deepmaxent.md": deepmaxent_page,
    "docs/reference/maxent.md": maxent_page,
    "docs/reference/errors.md": errors_page,
    "docs/reference/limits.md": limits_page,
}


def fill(text: str, name: str, content: str) -> str:
    """Replaces what stands between the markers of a block."""
    start, end = f"<!-- {name}:start -->", f"<!-- {name}:end -->"
    pattern = re.compile(f"{re.escape(start)}.*?{re.escape(end)}", re.DOTALL)
    if len(pattern.findall(text)) != 1:
        raise SystemExit(f"the markers {start} {end} must stand once")
    return pattern.sub(lambda _: f"{start}\n{content}{end}", text)


def wanted() -> dict[str, str]:
    """Path -> text as it should be."""
    texts = {path: page() for path, page in PAGES.items()}
    for path, name, block in BLOCKS:
        text = texts.get(path) or (ROOT / path).read_text(encoding="utf-8")
        texts[path] = fill(text, name, block())
    return texts


def stale() -> list[str]:
    """Files that differ from what they should be."""
    return [
        p for p, text in wanted().items() if not (ROOT / p).is_file() or (ROOT / p).read_text(encoding="utf-8") != text
    ]


def main(arguments: list[str]) -> int:
    """Writes, or checks."""
    if "--check" in arguments:
        old = stale()
        for path in old:
            print(f"{path}: stale, run python docs/generate.py")
        return 1 if old else 0
    for path in stale():
        write_text(ROOT / path, wanted()[path])
        print(f"{path}: written")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
