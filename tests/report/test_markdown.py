from __future__ import annotations

from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecotone.report.markdown import to_html

ALLOWED = {
    "p",
    "h3",
    "h4",
    "h5",
    "h6",
    "ul",
    "li",
    "code",
    "pre",
    "strong",
    "em",
    "div",
    "table",
    "thead",
    "tbody",
    "tr",
    "th",
    "td",
}


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("# A\n\nb *c* **d** `e*f*`", "<h3>A</h3>\n<p>b <em>c</em> <strong>d</strong> <code>e*f*</code></p>"),
        ("- a\n- b\nc", "<ul><li>a</li><li>b</li></ul>\n<p>c</p>"),
        ("```\n<x>\n```", "<pre>&lt;x&gt;</pre>"),
        ("[paper](http://a.b)", "<p>paper (http://a.b)</p>"),
        ("---\nlicense: mit\n---\nText", "<p>Text</p>"),
        ("two\nlines", "<p>two lines</p>"),
        ("3 * 4 * 5", "<p>3 * 4 * 5</p>"),
        ("#nospace", "<p>#nospace</p>"),
        ("", ""),
    ],
)
def test_what_cards_use(text, html):
    assert to_html(text) == html


def test_tables():
    html = to_html("|a|b|\n|---|:-:|\n|1|<2>|")
    assert "<th>a</th><th>b</th>" in html and "<td>1</td><td>&lt;2&gt;</td>" in html


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[str, list]] = []

    def handle_starttag(self, tag, attrs):
        self.seen.append((tag, attrs))


@given(st.text(st.sampled_from("#*`|-[]()<>&\"' \nabx:/="), max_size=60))
def test_nothing_but_plain_tags_comes_out(text):
    tags = Tags()
    tags.feed(to_html(text))
    assert all(tag in ALLOWED and attributes in ([], [("class", "scroll")]) for tag, attributes in tags.seen)
