"""Reads a page as a browser would, for tests of what it shows and what it asks for."""

from __future__ import annotations

import re
from html.parser import HTMLParser


class Page(HTMLParser):
    """What a browser would see: elements with attributes, and the text outside styles."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self._in: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        self._in.append(tag)

    def handle_endtag(self, tag):
        if tag in self._in:
            while self._in.pop() != tag:
                pass

    def handle_data(self, data):
        if "style" not in self._in:
            self.words.append(data)

    def of(self, *tags: str) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.elements if tag in tags]

    def check_self_contained(self, beside: str = "") -> None:
        """No script, no request, no handler: links lead into the page, to data in it, or to files named by `beside`."""
        links = ("src", "href", "xlink:href", "action", "data", "srcset", "poster", "background")
        for tag, attributes in self.elements:
            for name, value in attributes.items():
                if name in links:
                    assert re.match(rf"#|data:(image/png|text/csv);base64,{beside}", value or ""), (tag, name, value)
                if name == "style":
                    assert not re.search(r"url\((?!#)", value or "")
                assert not name.startswith("on"), (tag, name)
        assert not self.of("script", "link", "iframe", "object", "embed", "form", "base")

    def check_links(self) -> None:
        """Ids are unique and what points to one finds it."""
        ids = [attributes["id"] for _, attributes in self.elements if attributes.get("id")]
        assert len(ids) == len(set(ids))
        for _, attributes in self.elements:
            for name in ("href", "xlink:href", "aria-labelledby"):
                value = attributes.get(name) or ""
                if value.startswith("#"):
                    assert value[1:] in ids, value
        assert set(re.findall(r"url\(#([^)]+)\)", str(self.elements))) <= set(ids)

    def check_pictures(self, least: int = 1) -> None:
        """Every picture says in words what it shows."""
        pictures = self.of("svg")
        assert len(pictures) >= least
        assert all(p.get("role") == "img" and len(p.get("aria-label") or "") > 20 for p in pictures)
        assert all(i.get("alt") for i in self.of("img"))
