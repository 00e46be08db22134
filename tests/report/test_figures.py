from __future__ import annotations

import xml.etree.ElementTree as ElementTree

import matplotlib as mpl
import numpy as np
import pytest

from ecotone.contract import EVIDENCE_KINDS, Check, Contributions, Curve, Gallery, Overlay, Passages
from ecotone.report.alt import describe
from ecotone.report.figures import MAX_BARS, draw
from ecotone.report.notebook import show
from ecotone.report.style import number, with_unit
from ecotone.report.svg import evidence_svg


def curve(**more) -> Curve:
    x = np.linspace(0, 10, 20)
    return Curve(**{"title": "R", "x": x, "y": x / 10, "x_label": "bio1", "y_label": "suitability", **more})


def overlay(weights, **more) -> Overlay:
    return Overlay(title="Map", weights=weights, names=tuple(f"l{i}" for i in range(len(weights))), **more)


def image_axes(figure):
    return next(ax for ax in figure.axes if ax.images)


def test_all_kinds_are_drawn_as_readable_svg(evidence_samples):
    assert {e.kind for e in evidence_samples} == set(EVIDENCE_KINDS)
    for i, item in enumerate(evidence_samples):
        text = evidence_svg(item, f"k{i}")
        root = ElementTree.fromstring(text)
        assert root.attrib["role"] == "img" and root.attrib["aria-label"] == " ".join(describe(item).split())
        assert "#1c2a33" not in text and "var(--" in text
        assert "<script" not in text


def test_global_settings_are_left_alone():
    before = dict(mpl.rcParams)
    draw(curve()).savefig("/dev/null", format="png")
    assert dict(mpl.rcParams) == before
    assert "matplotlib.pyplot" not in str(type(draw(curve()).canvas))


def test_text_is_never_read_as_formula_or_markup():
    text = evidence_svg(curve(x_label="$\\frac{1}{0$ <b>&", x_unit="</text><script>"), "k")
    ElementTree.fromstring(text)
    assert "<script" not in text and "&lt;b&gt;" in text


def test_axes_carry_units_and_the_band_and_rug_are_there():
    figure = draw(curve(x_unit="degC", lower=np.zeros(20), upper=np.ones(20), support=np.linspace(2, 8, 900)))
    (ax,) = figure.axes
    assert ax.get_xlabel() == "bio1 (°C)" and ax.get_ylabel() == "suitability"
    assert len(ax.collections) >= 1
    assert len(ax.patches) == 2
    assert ax.get_ylim()[0] == 0


def test_the_line_is_whole_only_where_there_is_support():
    figure = draw(curve(support=np.array([3.0, 7.0])))
    drawn = [np.asarray(line.get_ydata(), float) for line in figure.axes[0].lines]
    whole = drawn[-1]
    x = np.linspace(0, 10, 20)
    assert np.array_equal(np.isfinite(whole), (x >= 3) & (x <= 7))


@pytest.mark.parametrize(
    "item",
    [
        curve(y=np.full(20, np.nan)),
        curve(x=np.array([]), y=np.array([])),
        curve(support=np.array([np.nan])),
        curve(support=np.array([])),
        curve(x=np.array([1.0]), y=np.array([2.0]), categories=("a",)),
        overlay(np.full((1, 3, 4), np.nan)),
        overlay(np.zeros((1, 1, 1))),
        overlay(np.ones((5, 3, 4)), image=np.zeros((3, 4))),
        overlay(np.ones((14, 3, 4)), extent=(0.0, 1.0, 0.0, 1.0)),
        overlay(np.ones((1, 3, 4)), points=np.zeros((0, 2))),
        overlay(np.ones((1, 3, 4)), legend={1: "only"}, image=np.zeros((3, 4, 3), np.uint8)),
        overlay(np.ones((1, 900, 700)) * 1e9, extent=(0.0, 0.0, 0.0, 0.0)),
        overlay(
            np.ones((2, 3, 4)),
            x_label="bio1",
            y_label="soil",
            x_unit="degC",
            y_names=("1", "2", "4"),
            extent=(2.0, 9.0, -0.5, 2.5),
        ),
        overlay(np.full((1, 3, 3), np.nan), x_names=("a", "b", "c"), y_names=("a", "b", "c")),
        overlay(np.ones((1, 15, 15)), x_names=("Genus species subsp. subspecies",) * 15, y_names=("b",) * 15),
        curve(name="fern", references={"moss": np.ones(20), "lichen": np.full(20, np.nan)}),
        curve(x=np.arange(20.0), categories=("a",) * 20, name="fern", references={"moss": np.ones(20)}),
        Contributions(title="none", names=(), values=np.array([])),
        Contributions(title="one", names=("a",), values=np.array([np.nan])),
        Gallery(title="none", images=np.zeros((0, 2, 2)), captions=()),
        Gallery(title="grey", images=np.full((30, 4, 4), 77, np.uint8), captions=("c",) * 30),
        Passages(title="none", sentences=(), weights=np.array([])),
        Check(title="c", claim="", measured=np.nan),
    ],
)
@pytest.mark.filterwarnings("error")
def test_edge_cases_are_drawn_without_warnings(item):
    ElementTree.fromstring(evidence_svg(item, "k"))
    assert show(item)


def test_importance_is_sorted_and_the_tail_is_gathered():
    values = np.arange(40.0)
    figure = draw(Contributions(title="i", names=tuple(f"v{i}" for i in range(40)), values=values))
    bars = [bar.get_width() for bar in figure.axes[0].patches]
    assert bars[:MAX_BARS] == sorted(values, reverse=True)[:MAX_BARS]
    assert len(bars) == MAX_BARS + 1 and bars[-1] == values[: 40 - MAX_BARS].mean()


def test_additive_terms_end_at_the_total():
    figure = draw(
        Contributions(title="s", names=("a", "b", "c"), values=np.array([2.0, -0.5, 1.0]), additive=True, total=2.5)
    )
    bars = figure.axes[0].patches
    assert bars[-1].get_x() + bars[-1].get_width() == pytest.approx(2.5)


@pytest.mark.parametrize(
    ("values", "colours", "limits"),
    [
        ([0.0, 0.9], "viridis", (0, 1)),
        ([-2.0, 1.0], "RdBu_r", None),
        ([3.0, 900.0], "viridis", None),
    ],
)
def test_scales_suit_what_is_shown(values, colours, limits):
    figure = draw(overlay(np.array(values)[None, None]))
    image = image_axes(figure).images[0]
    assert image.get_cmap().name == colours
    low, high = image.get_clim()
    if limits:
        assert (low, high) == limits
    if colours == "RdBu_r":
        assert low == -high


def test_maps_are_not_mirrored_and_have_degrees():
    weights = np.zeros((1, 4, 8))
    weights[0, 0, 0] = 1.0
    figure = draw(overlay(weights, extent=(-10.0, -2.0, 40.0, 44.0), points=np.array([[-9.5, 43.5]])))
    ax = image_axes(figure)
    assert ax.get_xlim() == (-10, -2) and ax.get_ylim() == (40, 44)
    assert ax.images[0].origin == "upper" and ax.images[0].get_array()[0, 0] == 1.0
    figure.canvas.draw()
    assert "8°W" in [t.get_text() for t in ax.get_xticklabels()]
    assert ax.get_aspect() == pytest.approx(1 / np.cos(np.radians(42)))


def test_projected_maps_are_in_kilometres():
    figure = draw(overlay(np.ones((1, 4, 8)), extent=(2.7e6, 3.6e6, 1.6e6, 2.3e6)))
    assert image_axes(figure).get_xlabel() == "easting (km)"


def test_covariates_along_the_axes_are_no_map():
    surface = overlay(
        np.arange(12.0).reshape(1, 3, 4),
        x_label="bio1",
        x_unit="degC",
        y_label="bio12",
        y_unit="mm",
        extent=(-5.0, 15.0, 0.0, 60.0),
    )
    figure = draw(surface)
    ax = image_axes(figure)
    figure.canvas.draw()
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("bio1 (°C)", "bio12 (mm)")
    assert ax.get_aspect() == "auto" and not any("°" in t.get_text() for t in ax.get_xticklabels())
    assert "over bio1 (°C) (across) and bio12 (mm) (up)" in describe(surface) and "Picture" in describe(surface)


def test_a_matrix_has_names_on_both_axes_and_readable_values():
    names = ("Quercus ilex", "Fagus sylvatica", "Calluna vulgaris")
    matrix = overlay(
        np.array([[[1.0, 0.2, 0.05], [0.2, 1.0, np.nan], [0.05, np.nan, 1.0]]]), x_names=names, y_names=names
    )
    figure = draw(matrix)
    ax = image_axes(figure)
    figure.canvas.draw()
    assert [t.get_text() for t in ax.get_xticklabels()] == list(names) == [t.get_text() for t in ax.get_yticklabels()]
    assert list(ax.get_yticks()) == [0, 1, 2] and ax.get_ylim()[0] > ax.get_ylim()[1]  # first row on top
    written = {(t.get_position(), t.get_text()) for t in ax.texts}
    assert ((1, 0), "0.20") in written and len(written) == 7
    assert len({t.get_color() for t in ax.texts}) == 2
    many = overlay(np.ones((1, 20, 20)), x_names=("a",) * 20, y_names=("a",) * 20)
    assert not image_axes(draw(many)).texts


def test_curves_among_equals_are_named_in_order_and_differ_without_colour():
    figure = draw(curve(name="fern", references={"moss": np.ones(20), "lichen": np.zeros(20)}))
    (ax,) = figure.axes
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["fern", "moss", "lichen"]
    styles = {str(line._dash_pattern) for line in ax.get_legend().get_lines()}
    assert len(styles) == 3


def test_both_halves_of_a_long_pair_are_read():
    pair = "Calluna vulgaris subsp. longissima – Quercus pyrenaica"
    figure = draw(Contributions(title="p", names=(pair,), values=np.array([0.4])))
    assert "Quercus pyrenaica" in figure.axes[0].get_yticklabels()[0].get_text()


def test_words_for_those_who_do_not_see(evidence_samples):
    assert "highest 1 at 10 °C" in describe(curve(x_unit="degC"))
    assert describe(curve(y=np.full(20, np.nan))).endswith("No finite values.")
    assert all(len(describe(e)) > 10 for e in evidence_samples)


def test_notebook_view_is_html_that_shows_itself():
    shown = show([curve(title="<script>"), Check(title="c", claim="x", measured=1.0, verdict="fail")])
    assert shown._repr_html_() == shown
    assert "<script" not in shown and "&lt;script&gt;" in shown and "fails" in shown and shown.count("<svg") == 1


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.123456, "0.123"),
        (-2.0, "\u22122"),
        (12345.6, "12,346"),
        (np.nan, "n/a"),
        (np.inf, "∞"),
        (1e-9, "1e\u221209"),
        (0, "0"),
    ],
)
def test_numbers_are_short(value, text):
    assert number(value) == text


def test_units_are_written_as_people_do():
    assert (with_unit("t", "degC"), with_unit("p", "1"), with_unit("", "mm")) == ("t (°C)", "p", "mm")


def test_unlike_the_sample_is_red_on_every_map():
    from ecotone.report.overlays import scale

    layer = np.array([[-80.0, 60.0]])
    sampled = Overlay(title="t", weights=layer[None], names=("similarity",), unit="%")
    beyond = Overlay(title="t", weights=-layer[None], names=("dissimilarity",), unit="%")
    for overlay in (sampled, beyond):
        colours, norm = scale([overlay.weights[0]], overlay)
        red, _, blue, _ = colours(norm(overlay.weights[0]))[0, 0]
        assert red > blue


def test_days_of_the_year_are_dates_and_observations_dots():
    x = np.arange(1990.0, 2000)
    shown = curve(
        x=x, y=100 + np.arange(10.0), y_unit="day of the year", references={"observed": 101 + np.arange(10.0)}
    )
    ax = draw(shown).axes[0]
    assert [t.get_text() for t in ax.get_yticklabels()] and all("Apr" in t.get_text() for t in ax.get_yticklabels())
    assert "day of the year" not in ax.get_ylabel() and ax.get_ylim()[0] > 90  # dates have no zero
    dots = next(line for line in ax.lines if line.get_label() == "observed")
    assert dots.get_linestyle() == "None" and dots.get_marker() == "o"
    season = curve(x=np.arange(-91.0, 150, 12), y=np.linspace(0, 1, 21), x_unit="day of the year")
    assert [t.get_text() for t in draw(season).axes[0].get_xticklabels()][:4] == ["1 Oct", "1 Nov", "1 Dec", "1 Jan"]
