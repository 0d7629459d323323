"""Where the η/B invariance holds and breaks, on problems where that is known."""

import jax
import numpy as np
import pytest
import xarray as xr
from helpers import refused

import sde_sgd as ss
from sde_sgd import validity
from sde_sgd.simulation._sweep_result import SweepResult
from sde_sgd.validity import _phase_diagram

RATES, SIZES = [0.05, 0.1, 0.2, 0.4, 0.8], [1, 2, 4]


@pytest.fixture(scope="module")
def diagram():
    """h = 4, so ηλ is .2 to 3.2, and the last rate diverges."""
    steep = ss.problems.Quadratic(np.eye(3) * 4.0)
    with pytest.warns(UserWarning, match="diverged"):
        return validity.phase_diagram(
            steep,
            learning_rate=RATES,
            batch_size=SIZES,
            seeds=400,
            time=160.0,
            limit=0.25,
            key=jax.random.key(0),
        )


@pytest.mark.script
def test_it_breaks_where_the_step_is_large_and_holds_where_it_is_small(diagram):
    """⟨L⟩ is (3/4)η/(B(2 − 4η)), in units of √(2/3)⟨L⟩ for three squares: known deviations."""
    rate, size = diagram.deviation["learning_rate"].values, diagram.deviation["batch_size"].values
    broken, reference = diagram.breaks.values, diagram.reference.values
    assert broken[rate == 0.8].all()
    inflation = 1 / (1 - 2 * np.minimum(rate, 0.45))
    for row, column in np.ndindex(broken.shape):
        if (
            reference[row, column]
            or rate[row] == 0.8
            or not np.isfinite(diagram.deviation.values[row, column])
        ):
            continue
        ratio = rate[row] / size[column]
        first = min(r for r in range(len(rate)) if np.isclose(rate[r] / size, ratio).any())
        mean, before = inflation[row], inflation[first]
        spread = np.sqrt(2 / 3 * (mean**2 + before**2) / 2)
        expected = (mean - before) / spread
        error = float(diagram.error.values[row, column])
        assert abs(float(diagram.deviation.values[row, column]) - expected) < 5.5 * error
    np.testing.assert_allclose(
        diagram.steepness.values[rate < 0.8], 4 * np.repeat(rate[rate < 0.8, None], 3, 1), rtol=1e-4
    )
    assert "break" in str(diagram)


@pytest.mark.script
def test_the_picture(diagram, tmp_path):
    made = ss.plot.phase_diagram(diagram)
    assert ss.plot.save(made, tmp_path / "phase.png").stat().st_size > 20_000


def test_bad_input(key):
    well = ss.problems.DoubleWell()
    good = {"learning_rate": [0.1, 0.2], "batch_size": [1, 2], "time": 1.0, "key": key}
    for options, message in (
        ({"batch_size": [1, 3]}, "have no ratio η/B in common"),
        ({"seeds": 2}, "seeds must be an integer >= 3, got 2"),
        ({"epochs": 1.0}, "one of epochs and time"),
        ({"learning_rate": 0.1}, "must be lists"),
        ({"limit": 0}, "limit must be finite and > 0, got 0"),
        ({"part": (0, 2)}, r"part must be left out, got \(0, 2\)"),
    ):
        with refused(match=message):
            validity.phase_diagram(well, **good | options)


def swept(values, diverged=None, sharpness=2.0):
    """What a sweep leaves behind, from values that are known."""
    values = np.asarray(values, float)
    shape = values.shape
    lost = np.full(shape, -1) if diverged is None else np.where(diverged, 7, -1)
    dims = "learning_rate", "batch_size", "seed"
    dataset = xr.Dataset(
        {
            "f": ((*dims, "time"), np.stack([np.zeros(shape), values], axis=-1)),
            "λ₁": ((*dims, "time"), np.full((*shape, 2), sharpness)),
            "diverged_at": (dims, lost),
        },
        {
            "learning_rate": [0.1, 0.2],
            "batch_size": [1, 2],
            "seed": np.arange(shape[2]),
            "time": [0.0, 1.0],
        },
    )
    return SweepResult(dataset)


def known(monkeypatch, values, **options):
    """The diagram of known values at η = .1, .2 and B = 1, 2: (.2, 2) against (.1, 1)."""
    named = {name: options.pop(name) for name in ("diverged", "sharpness") if name in options}
    monkeypatch.setattr(_phase_diagram, "sweep", lambda *args, **kwargs: swept(values, **named))
    return validity.phase_diagram(
        ss.problems.DoubleWell(),
        learning_rate=[0.1, 0.2],
        batch_size=[1, 2],
        seeds=3,
        time=1.0,
        key=jax.random.key(0),
        observable=f,
        **options,
    )


def f(theta):
    return theta


SPREAD = np.array([-1.0, 0.0, 1.0])


def shifted(gap, spread=1.0):
    """Three seeds in each cell; the mean of the compared one is `gap` above its reference."""
    values = np.tile(SPREAD, (2, 2, 1))
    values[1, 1] = gap + spread * SPREAD
    return values


def test_numbers_of_a_cell_by_hand(monkeypatch):
    found = known(monkeypatch, shifted(3.0, spread=2.0), momentum=0.5)
    pooled = np.sqrt((1 + 4) / 2)
    np.testing.assert_allclose(found.deviation.values[1, 1], 3 / pooled)
    np.testing.assert_allclose(found.error.values[1, 1], np.sqrt(1 / 3 + 4 / 3) / pooled)
    assert found.freedom.values[1, 1] == 4
    np.testing.assert_array_equal(found.reference.values, [[True, False], [False, False]])
    np.testing.assert_allclose(found.steepness.values, np.array([[0.1, 0.1], [0.2, 0.2]]) * 2 / 1.5)
    assert np.isnan(found.deviation.values[[0, 1], [1, 0]]).all()


@pytest.mark.parametrize(
    ("gap", "limit", "verdict"),
    [
        (4.2, 1.0, "breaks"),
        (3.8, 1.0, "undecided"),
        (1.8, 5.0, "holds"),
        (2.2, 5.0, "undecided"),
        (-4.2, 1.0, "breaks"),
    ],
)
def test_verdicts_are_by_students_t_with_the_seeds_degrees_of_freedom(gap, limit, verdict, monkeypatch):
    """With 3 + 3 seeds beyond a limit is √(2/3)·3.747 = 3.06 beyond it: t of 4 degrees of freedom at 1 %."""
    found = known(monkeypatch, shifted(gap), limit=limit)
    assert [name for name in ("holds", "breaks", "undecided") if getattr(found, name).values[1, 1]] == [
        verdict
    ]
    assert getattr(found, verdict).values.sum() == 1
    assert "of 1 settings beside the reference" in str(found)


@pytest.mark.parametrize("cell", [(0, 0), (1, 1)], ids=["reference", "setting"])
@pytest.mark.parametrize("lost", ["not finite", "diverged"])
def test_survivors_do_not_hold(lost, cell, monkeypatch):
    """Five seeds, of which one has no value: what is left agrees, which says nothing."""
    values = np.tile([-1.0, -0.5, 0.0, 0.5, 1.0], (2, 2, 1))
    assert known(monkeypatch, values, limit=20.0).holds.values[1, 1]
    gone = np.zeros(values.shape, bool)
    gone[cell][3] = True
    values[gone] = np.nan if lost == "not finite" else np.inf
    found = known(monkeypatch, values, limit=20.0, diverged=gone if lost == "diverged" else None)
    assert not found.holds.any()
    assert found.undecided.values[1, 1]
    assert found.freedom.values[1, 1] == 7
    counted = found.not_finite if lost == "not finite" else found.diverged
    assert counted.values[cell] == 1
    assert (found.not_finite + found.diverged).values.sum() == 1
    said = "0 diverged, 1 are not finite" if lost == "not finite" else "1 diverged, 0 are not finite"
    assert f"1 settings have lost some of their runs ({said})" in str(found)
    far = known(monkeypatch, values + 90 * np.array([[0, 0], [0, 1]])[..., None], limit=20.0)
    assert far.breaks.values[1, 1]


def test_a_cell_without_values_is_undecided_and_one_without_runs_breaks(monkeypatch, tmp_path):
    values = shifted(0.0)
    values[1, 1] = np.nan
    found = known(monkeypatch, values)
    assert found.undecided.values[1, 1]
    assert "0 break (0 of them diverged), 1 are undecided" in str(found)
    assert ss.plot.save(ss.plot.phase_diagram(found), tmp_path / "nan.png").exists()
    gone = np.zeros(values.shape, bool)
    gone[1, 1] = True
    lost = known(monkeypatch, values, diverged=gone)
    assert lost.breaks.values[1, 1]
    assert "1 break (1 of them diverged), 0 are undecided" in str(lost)


def test_what_the_picture_marks(monkeypatch):
    """A ring on the reference, a square where it breaks, a cross where survivors leave it undecided.

    Where more seeds may decide it, a question mark; none where it holds.
    """
    values = np.tile([-1.0, -0.5, 0.0, 0.5, 1.0], (2, 2, 1))
    broken = ss.plot.phase_diagram(known(monkeypatch, values + 90 * np.eye(2)[..., None] * [[[0]], [[1]]]))
    values[1, 1, 0] = np.nan
    undecided = ss.plot.phase_diagram(known(monkeypatch, values, limit=20.0))
    marks = [[line.get_marker() for line in made.axes[0].get_lines()] for made in (broken, undecided)]
    assert "o" in marks[0]
    assert "o" in marks[1]
    assert ("s" in marks[0], "x" in marks[0]) == (True, False)
    assert ("s" in marks[1], "x" in marks[1]) == (False, True)
    few, holds = (
        [text.get_text() for text in ss.plot.phase_diagram(found).axes[0].texts]
        for found in (known(monkeypatch, shifted(gap), limit=5.0) for gap in (2.2, 1.8))
    )
    assert few.count("?") == 1
    assert holds.count("?") == 0


def test_constant_observables(monkeypatch):
    """Equal constants hold, unequal ones break, without a division by nothing."""
    same = known(monkeypatch, np.ones((2, 2, 3)))
    assert same.holds.values[1, 1]
    other = known(monkeypatch, np.ones((2, 2, 3)) + np.array([[0, 0], [0, 1]])[..., None])
    assert other.breaks.values[1, 1]
