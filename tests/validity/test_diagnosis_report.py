"""What a diagnosis says and draws, from made-up pilots: answers first, narrow lines, nothing hidden."""

import dataclasses

import matplotlib as mpl
import numpy as np
import pytest
from helpers import refused
from made_up_pilots import judged, orbit, pilot

import sde_sgd as ss
from sde_sgd import validity
from sde_sgd.plot._style import COLOURS
from sde_sgd.validity._causes import directions
from sde_sgd.validity._diagnose import _mean_loss
from sde_sgd.validity._interval import Interval

HYPER = ss.Hyperparameters(0.001, 1)


def diagnosis(seen=None, hyper=HYPER, *, steps=1000):
    """What `diagnose` makes of a pilot."""
    seen = seen or pilot()
    found = sorted(judged(seen, hyper, steps=steps).values(), key=lambda cause: -cause.severity)
    return validity.Diagnosis(
        problem=ss.problems.DoubleWell(),
        hyper=hyper,
        sampling="replacement",
        steps=steps,
        causes=tuple(found),
        directions=directions(seen),
        weak_error=_mean_loss(seen, hyper),
        pilot=seen,
        seconds=1.0,
    )


def colder(factor):
    """SGD with this many times the variance that small steps have, and all of its heat accounted for."""
    base = pilot().sgd
    hot = base.slope.var(axis=1, ddof=1).mean(axis=0)[0] / 2.0
    return dataclasses.replace(base, step=(factor - 1) / hot, noise=base.noise / factor)


def few():
    """A pilot of so few chains that it tells nothing."""
    base = pilot().sgd
    some = orbit(base.theta[:, :5], base.slope[:, :5], noise=base.noise[:, :5], step=0.001)
    return pilot(sgd=some, finer=dataclasses.replace(some, step=0.0), chains=5)


def no():
    hot = colder(1.5)
    return pilot(sgd=hot, finer=dataclasses.replace(hot, step=0.0))


def test_lines_stay_narrow_where_numbers_are_huge():
    hot = dataclasses.replace(pilot().sgd, noise=1e-12 * pilot().sgd.noise)
    said = str(diagnosis(pilot(sgd=hot)))
    assert max(map(len, said.splitlines())) <= 80
    lost = str(diagnosis(pilot(sgd=hot, diverged=3)))
    assert lost.count("not measured") == 2
    assert max(map(len, lost.splitlines())) <= 80


def test_three_answers():
    for seen, answer, holds in ((pilot(), "yes", True), (no(), "no", False), (few(), "cannot tell", None)):
        found = diagnosis(seen)
        assert (found.verdict, found.sde_holds) == (answer, holds), str(found)
    assert diagnosis(no()).worst("sde").name == "step size"
    assert diagnosis().worst() is None
    assert not diagnosis().undecided()
    assert {"measured"} <= {cause.name for cause in diagnosis(few()).undecided()}
    with refused(match="breaks must be"):
        diagnosis().answer("both")


def test_gibbs_has_three_answers_too():
    turned = {"noise_covariance": np.diag([5.0, 1.0])}
    for seen, answer, holds in (
        (pilot(), "yes", True),
        (pilot(**turned), "no", False),
        (pilot(noise_error=np.full((2, 2), 0.5)), "cannot tell", None),
    ):
        found = diagnosis(seen)
        assert (found.answer("gibbs"), found.gibbs_holds, found.verdict) == (answer, holds, "yes")
    assert diagnosis(pilot(**turned)).worst("gibbs").name == "anisotropy"
    assert diagnosis(pilot(**turned)).worst("sde") is None


def test_what_is_measured_forbids_a_yes():
    """Twice as hot as all that was calculated: no cause is found but what was measured, and that is named."""
    base = pilot().sgd
    hot = dataclasses.replace(base, noise=base.noise / 2)
    found = diagnosis(pilot(sgd=hot, finer=dataclasses.replace(hot, step=0.0)))
    assert found.verdict == "no"
    assert found.worst("sde").name == "unexplained"
    assert [cause.answer for cause in found.causes if cause.name == "measured"] == ["beyond"]


@pytest.mark.parametrize(
    "seen",
    [
        pilot(),
        no(),
        few(),
        pilot(diverged=7),
        pilot(finer=None, sgd=orbit(np.ones((2, 4, 2)), np.ones((2, 4, 2))), finer_loss=np.empty(0)),
        pilot(noise_covariance=np.diag([1e9, 1e-9]), noise_skewness=np.array([-1e9, 1.0])),
    ],
)
def test_every_line_is_narrow_and_the_answer_comes_first(seen):
    with np.errstate(all="ignore"):
        found = diagnosis(seen, ss.Hyperparameters(0.00123456789, 1, 0.9), steps=1_000_000_000)
        said = str(found).splitlines()
    assert max(map(len, said)) <= 80, [line for line in said if len(line) > 80]
    words = {"yes": "yes", "no": "NO, because of", "cannot tell": "cannot tell from this pilot"}[
        found.verdict
    ]
    assert said[0].startswith(f"SGD follows its SDE: {words}")
    for cause in found.causes:
        (line,) = [one for one in said if one[:18].rstrip() == f"  {one[2:4]}  {cause.name}"]
        assert line[2:4] == {"within": "ok", "beyond": "NO", "cannot tell": "??"}[cause.answer]
        assert line.split()[-1] == f"{cause.limit:.3g}"


@pytest.mark.parametrize(
    ("effect", "words"),
    [
        # a half width of .3 must become one of .15, with a fifth to spare
        (0.1, "one of about 24 chains of 30 steps would"),
        (0.25, "an effect lies so close to its limit, or is so uncertain, that no pilot will"),
    ],
)
def test_it_says_how_long_a_pilot_would_tell(effect, words):
    lying = validity.Cause("measured", "sde", effect, 0.25, Interval(0.0, 0.4), "")
    found = dataclasses.replace(diagnosis(few()), causes=(lying,))
    assert words in " ".join(str(found).split())


@pytest.mark.parametrize("seen", [pilot(), no(), few()])
def test_the_picture_shows_where_each_effect_lies(seen):
    found = diagnosis(seen)
    figure = ss.plot.diagnosis(found)
    axes = figure.axes[0]
    colours = {"within": COLOURS[2], "beyond": COLOURS[1], "cannot tell": COLOURS[4]}
    bars = axes.patches
    assert len(bars) == len(found.causes)
    for bar, cause in zip(bars, found.causes[::-1], strict=True):
        assert mpl.colors.same_color(bar.get_facecolor()[:3], colours[cause.answer])
    # whiskers: one line of two ends for each interval that is in the picture
    spans = {tuple(np.round(line.get_xdata(), 9)) for line in axes.lines if len(line.get_xdata()) == 2}
    for cause in found.causes:
        if cause.interval.high > 0.01 * cause.limit:
            assert tuple(np.round(np.clip(np.array(cause.interval) / cause.limit, 1e-2, 1e2), 9)) in spans
    # words stand beside the axes, so that the dashed limit crosses none of them
    assert all(text.get_position()[0] > 1 for text in axes.texts)
    assert len(axes.texts) == len(found.causes)
    figure.draw_without_rendering()
    beside = figure.axes[1].get_tightbbox()
    for text in axes.texts:
        box = text.get_window_extent()
        assert not box.overlaps(axes.get_window_extent())
        assert not box.overlaps(beside)
    titles = {"yes": "SGD follows its SDE", "no": "SGD does not follow its SDE"}
    assert axes.get_title() == titles.get(found.verdict, "SGD beside its SDE: cannot tell")


def test_mean_losses_are_compared():
    rng = np.random.default_rng(0)
    own, other = rng.normal(size=(30, 64)), rng.normal(size=64)
    found = _mean_loss(pilot(loss=own, finer_loss=other), HYPER)
    assert found["loss"] == pytest.approx(
        (own[-1].mean() - other.mean(), ((own[-1].var(ddof=1) + other.var(ddof=1)) / 64) ** 0.5)
    )
    assert _mean_loss(pilot(diverged=1), HYPER) is None
