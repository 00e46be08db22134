"""The small part of Markdown that model cards use, as HTML in which every character of the text is escaped.

Headings, paragraphs, bullet lists, tables, fenced code, code, bold and italics. Links become their text and address, so
a page stays free of addresses it could call.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable

_LINK = re.compile(r"!?\[([^\]]*)\]\(([^)\s]*)\)")
_SPANS = (
    (re.compile(r"`([^`]+)`"), r"<code>\1</code>"),
    (re.compile(r"\*\*([^*]+)\*\*"), r"<strong>\1</strong>"),
    (re.compile(r"(?<![\w*])\*([^*\s][^*]*)\*(?![\w*])"), r"<em>\1</em>"),
)
_RULE = re.compile(r"^\|?[\s:|-]+\|[\s:|-]*$")


def to_html(text: str, *, first_heading: int = 3) -> str:
    """Markdown to safe HTML.

    Args:
        text: The card.
        first_heading: Level that ``#`` becomes.
    """
    lines = text.replace("\r\n", "\n").split("\n")
    if lines and lines[0].strip() == "---" and "---" in (line.strip() for line in lines[1:]):
        lines = lines[[line.strip() for line in lines].index("---", 1) + 1 :]
    out: list[str] = []
    i = 0
    while i < len(lines):
        line = lines[i].rstrip()
        taken = 1
        if line.startswith("```"):
            code = _until(lines, i + 1, lambda s: s.startswith("```"))
            out.append(f"<pre>{html.escape(chr(10).join(code))}</pre>")
            taken = len(code) + 2
        elif match := re.match(r"(#{1,6}) +(.*)", line):
            level = min(first_heading + len(match[1]) - 1, 6)
            out.append(f"<h{level}>{_inline(match[2])}</h{level}>")
        elif line.startswith("|") and i + 1 < len(lines) and _RULE.match(lines[i + 1]):
            rows = _until(lines, i, lambda s: not s.startswith("|"))
            out.append(_table([rows[0], *rows[2:]]))
            taken = len(rows)
        elif re.match(r"\s*[-*] ", line):
            items = _until(lines, i, lambda s: not re.match(r"\s*[-*] ", s))
            out.append("<ul>" + "".join(f"<li>{_inline(s.strip()[2:])}</li>" for s in items) + "</ul>")
            taken = len(items)
        elif line:
            words = _until(lines, i, lambda s: not s.strip() or bool(re.match(r"#|\||```|\s*[-*] ", s)))
            out.append(f"<p>{_inline(' '.join(s.strip() for s in words or [line]))}</p>")
            taken = max(len(words), 1)
        i += taken
    return "\n".join(out)


def _until(lines: list[str], start: int, stop: Callable[[str], bool]) -> list[str]:
    end = start
    while end < len(lines) and not stop(lines[end]):
        end += 1
    return lines[start:end]


def _inline(text: str) -> str:
    text = _LINK.sub(lambda m: f"{m[1]} ({m[2]})" if m[2] and m[1] != m[2] else m[1], text)
    text = html.escape(text)
    for pattern, replacement in _SPANS:
        text = pattern.sub(replacement, text)
    return text


def _table(rows: list[str]) -> str:
    cells = [[_inline(c.strip()) for c in row.strip().strip("|").split("|")] for row in rows]
    head = "".join(f"<th>{c}</th>" for c in cells[0])
    body = "".join("<tr>" + "".join(f"<td>{c}</td>" for c in row) + "</tr>" for row in cells[1:])
    return f"<div class='scroll'><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
