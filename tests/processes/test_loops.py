"""Loops of known length, as other devices than a CPU have them, make the steps of plain loops."""

from collections.abc import Iterator
from contextlib import contextmanager

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import some_as_scripts

import sde_sgd as ss
from sde_sgd.processes import _loops
from sde_sgd.simulation import _program

KEY, HYPER = jax.random.key(7), ss.Hyperparameters(0.05, 2)
WELL = ss.problems.DoubleWell()
PROCESSES = {
    "SGD": ss.SGD(WELL, HYPER),
    "two draws for each step": ss.Langevin(WELL, HYPER),
    "two-point": ss.Langevin(WELL, HYPER, solver=diffrax.Euler(), substeps=3, increments="two_point"),
    "momentum": ss.SGD(WELL, ss.Hyperparameters(0.05, 2, 0.9)),
}


@pytest.mark.parametrize(("begin", "end"), [(0, 0), (3, 4), (0, 32), (5, 36), (5, 37), (7, 200), (9, 2)])
def test_every_step_is_made_once_and_in_order(begin: int, end: int) -> None:
    def note(step: jax.Array, carry: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        seen, number = carry
        return seen.at[number].set(step), number + 1

    with _loops.of_known_length(32):
        seen, count = jax.jit(lambda first, last: _loops.over_steps(
            first, last, note, (jnp.full(300, -1), jnp.int32(0))
        ))(begin, end)  # fmt: skip
    steps = np.arange(begin, end)
    assert int(count) == len(steps)
    np.testing.assert_array_equal(seen[: len(steps)], steps)


def test_a_block_ends_with_what_was_before_it() -> None:
    with pytest.raises(RuntimeError, match="stop"), _loops.of_known_length(8):
        raise RuntimeError("stop")
    assert _loops._KNOWN.get() == 0


@pytest.mark.script
@pytest.mark.parametrize("name", some_as_scripts(PROCESSES, ["SGD", "two-point"]))
def test_chains_are_those_of_plain_loops(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = [_theta(PROCESSES[name], steps) for steps in (1, 31, 32, 75)]
    asked: list[int] = []

    @contextmanager
    def known(_: int) -> Iterator[None]:
        asked.append(_)
        with _loops.of_known_length(32):
            yield

    monkeypatch.setattr(_program, "of_known_length", known)
    ss.clear_cache()  # else the program of before is found
    try:
        for steps, expected in zip((1, 31, 32, 75), plain, strict=True):
            np.testing.assert_array_equal(_theta(PROCESSES[name], steps), expected)
    finally:
        ss.clear_cache()
    assert asked == [0]  # a CPU does not ask for it, and one program serves all


def _theta(process: ss.Process, steps: int) -> np.ndarray:
    return np.asarray(ss.run(process, chains=8, steps=steps, key=KEY, progress=False).theta)
