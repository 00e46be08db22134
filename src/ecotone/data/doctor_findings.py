"""One line of the doctor's report."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ecotone.errors import EcotoneError

Severity = Literal["ok", "note", "warning", "error"]


@dataclass(frozen=True)
class Finding:
    """One line of the doctor's report.

    Attributes:
        severity: "ok" describes, "note" informs, "warning" may mislead a model, "error" stops it.
        file: The file it is about.
        message: What was found.
        fix: What to do, a command where one exists; "" when nothing is needed.
        code: The error code it would raise, or "".
    """

    severity: Severity
    file: str
    message: str
    fix: str = ""
    code: str = ""


def problem(file: object, error: EcotoneError) -> Finding:
    """An expected error as a finding."""
    return Finding("error", str(file), error.what, error.fix, error.code)
