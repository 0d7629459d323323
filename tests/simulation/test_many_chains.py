"""What is known of many chains stays on the devices: the same results, and no array of their size for it."""

from typing import Any

import jax
import numpy as np
import pytest

import sde_sgd as ss
from sde_sgd.simulation import _engine, _outcome

KEY = jax.random.key(3)
# some chains of a cubic force leave for ever at this learning rate
WILD = ss.SGD(ss.problems.DoubleWell(noise_variance=4.0), ss.Hyperparameters(0.55))
CALM = ss.SGD(ss.problems.Quadratic(), ss.Hyperparameters(0.1))


def lost_on_the_way(chains: int) -> ss.Result:
    return _run(WILD, chains, record={"x": _itself}, every=10)


def lost_at_the_end(chains: int) -> ss.Result:
    return _run(WILD, chains)


def gone_on_with_lost_ones(chains: int) -> ss.Result:
    first = _run(WILD, chains, steps=8)
    assert first.diverged
    return _run(WILD, chains, steps=2, initial=first)


def gone_on(chains: int) -> ss.Result:
    return _run(CALM, chains, initial=_run(CALM, chains), moments={"x": _itself}, burn_in=10)


def some_stop(chains: int) -> ss.Result:
    return _run(CALM, chains, stop_loss=1e-4, every=1)


def all_stop(chains: int) -> ss.Result:
    return _run(CALM, chains, stop_loss=10.0, every=1)


def _itself(theta: Any) -> Any:
    return theta


def _run(process: ss.Process, chains: int, **options: Any) -> ss.Result:
    return ss.run(process, chains=chains, key=KEY, progress=False, **{"steps": 40, **options})


@pytest.mark.filterwarnings("ignore:.*diverged")
@pytest.mark.parametrize(
    "case", [lost_on_the_way, lost_at_the_end, gone_on_with_lost_ones, gone_on, some_stop, all_stop]
)
@pytest.mark.parametrize("chains", [64, 61])  # 61 are filled up with copies
def test_results_are_those_of_few_chains(case: Any, chains: int, monkeypatch: pytest.MonkeyPatch) -> None:
    few = case(chains)
    monkeypatch.setattr(_engine, "_MANY", 1)
    many = case(chains)
    for name in ("diverged_at", "stopped_at", "record_steps"):
        np.testing.assert_array_equal(getattr(many, name), getattr(few, name), err_msg=name)
    np.testing.assert_array_equal(many.theta, few.theta)
    assert many.record.keys() == few.record.keys()
    for name, values in few.record.items():
        np.testing.assert_array_equal(many.record[name], values)
    for name, moments in few.moments.items():
        np.testing.assert_array_equal(many.moments[name].mean_per_chain, moments.mean_per_chain)
    if "lost" in case.__name__:
        assert 0 < few.diverged < chains
    if "stop" in case.__name__:
        assert (few.stopped_at >= 0).any()


@pytest.mark.filterwarnings("ignore:.*diverged")
def test_what_is_told_of_many_chains_is_what_is_told_of_few(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    told = []
    for least in (2**16, 1):
        monkeypatch.setattr(_engine, "_MANY", least)
        caplog.clear()
        with caplog.at_level("INFO", "sde_sgd"):
            lost_on_the_way(61)
        told.append([record.getMessage() for record in caplog.records if "have diverged" in record.message])
    assert told[0] == told[1]
    assert told[0][0].endswith("of 61 chains have diverged")


def test_minus_ones_of_all_chains_take_the_memory_of_one() -> None:
    steps = _outcome.never(10**9)
    assert steps.shape == (10**9,)
    assert steps.base is not None
    assert steps.base.nbytes == 4
    assert _outcome.Before.nothing(10**9).is_nothing
    assert _outcome.Before.nothing(10**9).lost == 0


def test_a_result_of_many_is_laid_out_as_any_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_engine, "_MANY", 1)
    result = _run(CALM, 64)
    assert result.diverged == 0
    assert result.alive.all()
    assert result.to_xarray()["diverged_at"].shape == (64,)
