"""Settings of the hybrid: what is learned, what is shared between sites, how it is trained."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from ecotone.contract import Options

PAPER: dict[str, Any] = {
    "network": "day",
    "start": "random",
    "response": "free",
    "base": "site",
    "place": False,
    "drift": False,
    "shrinkage": 0.0,
    "width": 64,
    "outliers": 0.0,
    "smoothness": 0.0,
    "steps": 20_000,
    "learning_rate": 1e-3,
    "members": 1,
    "held_out": 0.0,
}
"""The published recipe as far as it can run: scalars of each site by itself, a network of the whole day, 20,000 full passes."""


class HybridConfig(Options):
    """How the hybrid learns.

    Attributes:
        preset: ecotone is our recipe, paper the published one; options given beside it win.
        network: hourly is one response to the temperature of an hour, averaged over the day; day is the published network of
            all 24 hours together, which has no response curve of its own.
        response: Shape of the hourly response; free, unimodal (rises, then falls) or monotone (a warmer hour never adds more).
        start: What the response resembles before training; random (near flat, so that days count), utah (positive part of the
            Utah model), negating (much the same, but free to go below zero: warm hours may undo chill), falling (the colder
            the more), or mixed: members start from the first three in turn, and those that end clearly worse than the best
            are dropped.
        scalars: Who has chill and forcing requirements of its own; site, group (variety, species, country) or global.
        base: Who has a base temperature of forcing of its own; site, group or global.
        place: Let requirements change with latitude, longitude and altitude within a group, in the same way in every group, so
            that a site that was never seen gets what is usual at its place. Sites without coordinates count as amid their group.
        shrinkage: How strongly sites are drawn to what is usual at their place in their group, 1 for the recipe, 0 for each by
            itself.
        drift: Allow each site a slow linear drift of its forcing requirement over the years, for trees that age and stations
            whose surroundings change; drawn to none.
        width: Neurons of a hidden layer.
        smoothness: Weight on the curvature of the hourly response.
        outliers: Share of records that may lie anywhere in the season.
        members: Networks that answer together.
        held_out: Share of the years held out, in turns, for early stopping and the spread of answers; 0 for none.
        steps: Largest number of passes.
        learning_rate: Of Adam.
        weight_decay: On the weights of the network, never on thresholds.
        seed: Of everything random.
    """

    preset: Literal["ecotone", "paper"] = "ecotone"
    network: Literal["hourly", "day"] = "hourly"
    response: Literal["free", "unimodal", "monotone"] = "free"
    start: Literal["mixed", "random", "utah", "negating", "falling"] = "mixed"
    scalars: Literal["site", "group", "global"] = "site"
    base: Literal["site", "group", "global"] = "site"
    shrinkage: Annotated[float, Field(ge=0, le=100)] = 1.0
    place: bool = True
    drift: bool = True
    width: Annotated[int, Field(ge=1, le=1024)] = 16
    smoothness: Annotated[float, Field(ge=0, le=1e6)] = 30.0
    outliers: Annotated[float, Field(ge=0, le=0.2)] = 1e-3
    members: Annotated[int, Field(ge=1, le=100)] = 3
    held_out: Annotated[float, Field(ge=0, le=0.5)] = 0.25
    steps: Annotated[int, Field(ge=1, le=100_000)] = 500
    learning_rate: Annotated[float, Field(gt=0, le=1)] = 0.05
    weight_decay: Annotated[float, Field(ge=0, le=100)] = 0.1
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0

    @model_validator(mode="before")
    @classmethod
    def _preset(cls, values: Any) -> Any:
        if isinstance(values, dict) and values.get("preset") == "paper":
            return {**PAPER, **values}
        return values


LIMITS: dict[str, float] = {"members": 100, "width": 1024, "steps": 100_000}
"""Largest values a stored model may ask for."""
