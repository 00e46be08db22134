"""What docstrings say, for help and documentation: options are explained where they are defined, and nowhere else."""

from __future__ import annotations

import re


def attributes(doc: str) -> dict[str, str]:
    """Name -> text of a Google-style Attributes section."""
    section = doc.partition("Attributes:")[2]
    texts: dict[str, str] = {}
    name = ""
    for line in section.splitlines():
        match = re.match(r"^    (\w+): (.*)$", line)
        if match:
            name, texts[match[1]] = match[1], match[2]
        elif name and line.strip():
            texts[name] += " " + line.strip()
    return {k: " ".join(v.split()) for k, v in texts.items()}
