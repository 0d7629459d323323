"""Where the η/B invariance holds and breaks, on problems where that is known."""

import jax
import numpy as np
import pytest

import sde_sgd as ss
from sde_sgd import validity

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
    ):
        with pytest.raises(ValueError, match=message):
            validity.phase_diagram(well, **good | options)
