"""The points of a sweep as plain values, to tell whether a checkpoint belongs to it."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from sde_sgd.simulation._points import Point


def told(points: Sequence[Point], *, lasting: bool) -> list[dict[str, Any]]:
    """What sets the results at each point.

    Args:
        points: of the sweep.
        lasting: whether how long it goes on is among it; it is not where a sweep may be made longer.
    """
    return [
        {
            "problem": point.problem[0],
            "learning_rate": _one_or_all(point.rates),
            "momentum": _one_or_all(point.momenta),
            "stages": [_plain(leg) if lasting else {"batch_size": leg.batch_size} for leg in point.legs],
            "given": dict(point.labels),
        }
        for point in points
    ]


def _one_or_all(values: tuple[float, ...]) -> Any:
    return values[0] if len(values) == 1 else values


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, tuple | list):
        return [_plain(entry) for entry in value]
    return value
