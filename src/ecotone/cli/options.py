"""Command-line options made from the option models of a system.

``--background-cells 500`` sets `background_cells`. A list option takes all values up to the next option, as a shell expands
a glob (``--covariates clim/*.tif``), and may be repeated. A flag is ``--swap-xy`` or ``--no-swap-xy``. A trailing underscore
of a field is not written (`json_` is ``--json``); where two models of a verb share a name, that of the later one is written
``--only-NAME``.
"""

from __future__ import annotations

import types
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from ecotone.contract import Options
from ecotone.errors import UsageError, suggest

Model = type[Options]
Read = TypeVar("Read", bound=Options)


class RunOptions(Options):
    """Options of the command itself.

    Attributes:
        out: Where the result goes.
        debug: Show tracebacks and library messages.
        quiet: No progress, no summary.
    """

    out: str | None = None
    debug: bool = False
    quiet: bool = False


def parse(tokens: Sequence[str], *models: Model) -> tuple[dict[str, Any], ...]:
    """Splits tokens into one dict of given values per model.

    Args:
        tokens: What stands after the verb and its positional arguments.
        models: Option models; the first that has a field gets the value.

    Returns:
        One dict per model with the fields that were given, not yet validated.

    Raises:
        UsageError: US101 for an unknown option with the closest known one, US104 for a missing value.
    """
    owners = spellings(models)
    found: tuple[dict[str, Any], ...] = tuple({} for _ in models)
    index = 0
    tokens = list(tokens)
    while index < len(tokens):
        token = tokens[index]
        index += 1
        if not token.startswith("--") or token == "--":
            raise UsageError("US101", token, "is no option", "options start with --; put lists after their option")
        name, equals, attached = token[2:].partition("=")
        value = True
        if name.startswith("no-") and name not in owners and is_flag(models, owners, name[3:]):
            name, value = name[3:], False
        name = name.replace("_", "-")
        if name not in owners:
            raise UsageError("US101", f"--{name}", "unknown option", suggest(f"--{name}", [f"--{k}" for k in owners]))
        values: list[str] = [attached] if equals else []
        owner, key = owners[name]
        field = models[owner].model_fields[key]
        if is_flag(models, owners, name):
            given: Any = value if not equals else attached
        else:
            while index < len(tokens) and not _is_option(tokens[index]) and (is_list(field) or not values):
                values.append(tokens[index])
                index += 1
            if not values:
                raise UsageError("US104", f"--{name}", "has no value", f"give one: --{name} VALUE")
            given = values if is_list(field) else values[0]
        target = found[owner]
        target[key] = [*target.get(key, []), *given] if is_list(field) and key in target else given
    return found


def _is_option(token: str) -> bool:
    return token.startswith("--") and len(token) > 2


def is_list(field: FieldInfo) -> bool:
    """Whether the option takes several values."""
    return any(get_origin(t) in (list, tuple) for t in _alternatives(field.annotation))


def is_flag(models: Sequence[Model], owners: dict[str, tuple[int, str]], name: str) -> bool:
    """Whether the option is a yes or no."""
    return name in owners and models[owners[name][0]].model_fields[owners[name][1]].annotation is bool


def spelling(field: str) -> str:
    """A field as it is written on the command line, without the dashes in front."""
    return field.rstrip("_").replace("_", "-")


def spellings(models: Sequence[Model]) -> dict[str, tuple[int, str]]:
    """Option without dashes -> (position of its model, field)."""
    owners: dict[str, tuple[int, str]] = {}
    for k, model in enumerate(models):
        for field in model.model_fields:
            name = spelling(field)
            owners.setdefault(name if name not in owners else f"only-{name}", (k, field))
    return owners


def read(model: type[Read], values: Mapping[str, Any]) -> Read:
    """The options, checked; messages name them as they are written on the command line.

    Raises:
        UsageError: US105 for one that is needed and missing, US101 for a word that is none of the possible ones, US104 for
            other values that do not fit.
    """
    for field, info in model.model_fields.items():
        if info.is_required() and field not in values:
            meaning = model.explained().get(field, "")
            raise UsageError("US105", f"--{spelling(field)}", "is missing", f"it is needed: {meaning}".rstrip(": "))
        words = [
            str(w) for kind in _alternatives(info.annotation) if get_origin(kind) is Literal for w in get_args(kind)
        ]
        if words and field in values and values[field] not in words:
            where = f"--{spelling(field)} {values[field]}"
            raise UsageError("US101", where, f"is none of {', '.join(words)}", suggest(str(values[field]), words))
    try:
        return model.parse(values)
    except UsageError as error:
        if error.where.split(".")[0] not in model.model_fields:
            raise
        where = f"--{spelling(error.where.split('.')[0])}"
        raise UsageError(error.code, where, error.what.replace("Input should be", "should be"), error.fix) from None


def _alternatives(annotation: Any) -> tuple[Any, ...]:
    if get_origin(annotation) in (Union, types.UnionType):
        return get_args(annotation)
    return (annotation,)


def describe(model: Model, before: Sequence[Model] = ()) -> list[tuple[str, str, str]]:
    """(option, values, explanation) of each field, the explanation from `Options.explained`.

    Args:
        model: The options.
        before: Models of the same verb that come first and whose names are taken.
    """
    texts = model.explained()
    written = {field: name for name, (k, field) in spellings([*before, model]).items() if k == len(before)}
    rows = []
    for name, field in model.model_fields.items():
        default = (
            ""
            if field.is_required() or field.default in (None, False, "")
            else f" [{_shown(field.get_default(call_default_factory=True))}]"
        )
        required = " (required)" if field.is_required() else ""
        rows.append((f"--{written[name]}", _values(field), texts.get(name, "") + default.replace(" []", "") + required))
    return rows


def _shown(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _values(field: FieldInfo) -> str:
    if field.annotation is bool:
        return ""
    names = []
    for kind in _alternatives(field.annotation):
        if get_origin(kind) is Literal:
            names.append("|".join(str(v) for v in get_args(kind)))
        elif get_origin(kind) in (list, tuple):
            names.append("VALUE...")
        elif kind in (int, float):
            names.append("NUMBER")
        elif kind is not type(None):
            names.append("VALUE")
    return " ".join(dict.fromkeys(names))


def option_help(usage: str, summary: str, groups: Sequence[tuple[str, Model]]) -> str:
    """Help text of a verb whose options come from models."""
    import shutil
    import textwrap

    width = min(shutil.get_terminal_size((110, 24)).columns, 120)
    lines = [f"usage: {usage}", "", *textwrap.wrap(summary, width)]
    for k, (heading, model) in enumerate(groups):
        lines += ["", f"{heading}:"]
        for option, values, text in describe(model, [earlier for _, earlier in groups[:k]]):
            lines.append(f"  {option} {values}".rstrip())
            lines += textwrap.wrap(text, width, initial_indent=" " * 6, subsequent_indent=" " * 6)
    return "\n".join(lines)
