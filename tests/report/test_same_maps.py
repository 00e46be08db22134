"""Maps that are told twice are shown once; maps that differ are all shown."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ecotone.contract import Check, Overlay
from ecotone.report.same_maps import same_map, without_repeats

EXTENT = (0.0, 6.0, 0.0, 4.0)


def picture(seed=0, step=1, names=("fern", "moss"), **more):
    y, x = np.mgrid[0:40, 0:60]
    rng = np.random.default_rng(seed)
    layers = np.stack([np.sin(x / 15 + rng.random() * 6) + np.cos(y / 12 + rng.random() * 6) for _ in names])
    layers[:, :5] = np.nan
    return Overlay(title="map", weights=layers[:, ::step, ::step], names=names, extent=EXTENT, note="map.tif.", **more)


def test_a_recorded_map_that_the_evidence_shows_is_named_under_it():
    shown = replace(picture(), title="Suitability", note="The answer.")
    check = Check(title="c", claim="c", measured=1.0)
    maps, evidence = without_repeats([picture(), picture(1)], [check, shown])
    assert len(maps) == 1 and evidence[0] is check
    assert evidence[1].title == "Suitability" and evidence[1].note == "The answer. In full: map.tif."


@pytest.mark.parametrize(
    "other",
    [
        picture(1),  # another climate
        replace(picture(), extent=(0.0, 6.0, 0.0, 5.0)),
        replace(picture(), extent=None),
        replace(picture(), names=("oak", "rush")),
        replace(picture(), weights=np.add(picture().weights, [[[0.0]], [[0.3]]])),  # one layer of two
        replace(picture(), weights=np.full((2, 40, 60), np.nan)),
    ],
)
def test_maps_that_differ_are_kept(other):
    assert not same_map(picture(), other) and not same_map(other, picture())


def test_rounding_and_shared_layers_do_not_matter():
    one = picture()
    single = replace(one, weights=one.weights[1:].astype(np.float32), names=("moss",))
    assert same_map(one, single) and same_map(single, one)


def test_classes_are_compared_by_what_they_mean():
    codes = np.arange(12.0).reshape(1, 3, 4) % 2
    one = Overlay(title="a", weights=codes, names=("by",), extent=EXTENT, legend={0: "inside", 1: "heat"})
    other = replace(one, weights=codes * 3, legend={0: "inside", 3: "heat"})
    assert same_map(one, other) and not same_map(one, replace(other, legend={0: "inside", 3: "rain"}))
    assert not same_map(one, replace(one, legend={}))
