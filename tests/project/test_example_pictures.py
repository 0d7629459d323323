"""Pictures of examples say what they show: whatever decides is drawn where it decides, and named."""

import importlib.util
import sys
import types
from pathlib import Path

import numpy as np
import pytest
from made_up_pilots import judged, pilot

import sde_sgd as ss
from sde_sgd import validity
from sde_sgd.validity._causes import directions
from sde_sgd.validity._interval import Interval

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def example(monkeypatch):
    """The script as a module, without what it shares with the others, which counts devices."""
    monkeypatch.setitem(
        sys.modules, "common", types.SimpleNamespace(finish=None, options=None, table=None, __file__="common")
    )
    spec = importlib.util.spec_from_file_location("does_the_sde_hold", EXAMPLES / "does_the_sde_hold.py")
    assert spec is not None and spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


def diagnosis(**effects):
    """Of a pilot in which nothing is wrong but for these effects: name → (effect, low, high)."""
    hyper = ss.Hyperparameters(0.001, 1)
    seen = pilot()
    causes = {"measured": validity.Cause("measured", "sde", 0.02, 0.25, Interval(0.0, 0.1), "")}
    causes["anisotropy"] = validity.Cause("anisotropy", "gibbs", 9.0, 0.5, Interval(8.0, 10.0), "")
    assert causes.keys() <= judged(seen, hyper).keys()
    limits = {"momentum": 0.05, "step size": 0.1, "measured": 0.25}
    for name, (effect, low, high) in effects.items():
        causes[name] = validity.Cause(name, "sde", effect, limits[name], Interval(low, high), "")
    return validity.Diagnosis(
        problem=ss.problems.DoubleWell(),
        hyper=hyper,
        sampling="replacement",
        steps=1000,
        causes=tuple(causes.values()),
        directions=directions(seen),
        weak_error=None,
        pilot=seen,
        seconds=1.0,
    )


def test_a_no_stands_beside_the_effect_that_is_beyond_its_limit(example):
    found = {
        "yes": diagnosis(),
        "momentum, m = .99": diagnosis(momentum=(0.4, 0.3, 0.5)),
        "few chains": diagnosis(**{"step size": (0.05, 0.0, 0.3)}),
    }
    figure, axes = ss.plot.figure(1, 2)
    example.draw_runs(found, axes[0])
    figure.draw_without_rendering()
    spans = [line.get_xdata() for line in axes[0].lines if line.get_marker() == "|"]
    words = [text.get_text() for text in axes[0].texts]
    # from below: the last comes first
    few, no, yes = zip(spans, words, strict=True)
    assert no[1].startswith("no:\nmomentum\n0.4 of 0.05")
    np.testing.assert_allclose(no[0], [6, 10])
    assert yes[1].startswith("yes:\nmeasured")
    assert max(yes[0]) < 1
    assert few[1].startswith("cannot tell:\nstep size")
    assert few[0][0] < 1 < few[0][1]
    # and no word is crossed by the limit, by a span, or runs into the next picture
    for text in axes[0].texts:
        box = text.get_window_extent()
        assert not box.overlaps(axes[0].get_window_extent())
        assert not box.overlaps(axes[1].get_tightbbox())
