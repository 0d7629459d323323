"""A residual network by a staged batch whose examples several devices share; run as a program of its own.

Virtual devices have to be there before JAX makes its first array, so `on_virtual_devices` starts Python anew:
`python -m paper_checks.dont_decay._many_devices` reads what to do from a file and writes the curves into it.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

import sde_sgd as ss

DEVICES = 8
RATE, MOMENTUM = 0.02, 0.9
_ROOT = Path(__file__).parents[2]


class Size(NamedTuple):
    """How large: N and test examples, depth and width of the network, first B, factor, stages in epochs."""

    size: int
    tests: int
    depth: int
    width: int
    batch: int
    factor: int
    lengths: tuple[int, ...]


QUICK = Size(320, 320, 8, 8, 8, 4, (3, 3))
FULL = Size(1280, 500, 14, 16, 16, 8, (10, 10))


def network(size: Size) -> ss.problems.EmpiricalRisk:
    """A residual network on digits, of whose training labels a tenth are random."""
    made = ss.data.with_label_noise(ss.data.digits(size.size), 0.1, key=jax.random.key(42))
    kept = ss.data.Dataset(
        made.inputs,
        made.targets,
        made.test_inputs[: size.tests],
        made.test_targets[: size.tests],
        classes=made.classes,
        name=made.name,
    )
    return ss.problems.resnet(kept, depth=size.depth, width=size.width, groups=4, image_shape=(8, 8))


def schedule(size: Size, by: str) -> ss.schedules.Schedule:
    """The noise scale falls by the factor, by B or by η."""
    return ss.schedules.decay(
        size.lengths,
        learning_rate=RATE,
        batch_size=size.batch,
        momentum=MOMENTUM,
        factor=size.factor,
        by=by,
    )


def places(size: Size) -> list[float]:
    """Epochs of the samples: the first one in quarters."""
    return [0.25, 0.5, 0.75, *(float(epoch) for epoch in range(1, sum(size.lengths) + 1))]


def curves(
    sweep: Callable[..., ss.SweepResult],
    process: Any,
    problem: ss.problems.EmpiricalRisk,
    made: ss.schedules.Schedule,
    *,
    every: list[float],
    seeds: int,
    key: jax.Array,
    devices: int,
) -> dict[str, np.ndarray]:
    """Epochs and updates of the samples, loss and accuracy of shape `(seeds, samples)`.

    Args:
        sweep: `ss.sweep` or a card's own.
        process, problem: as of `ss.sweep`.
        made: the schedule.
        every: epochs of the samples.
        seeds: runs; of one key and schedule the first ones are the same, however many there are.
        key: of starts and batches.
        devices: how many share the examples of each batch.
    """
    result = sweep(
        process,
        problem,
        schedule=made,
        seeds=seeds,
        every=every,
        record=["loss", "accuracy"],
        paired_starts=False,
        key=key,
        devices=jax.local_devices()[:devices],
        data_devices=devices,
        progress=False,
    )
    found = {name: np.asarray(result[name].values) for name in ("updates", "loss", "accuracy")}
    return {"epochs": np.asarray(result["epoch"].values), **found}


def on_virtual_devices(size: Size, *, seeds: int, key: jax.Array) -> dict[str, np.ndarray]:
    """The curves with a growing batch on eight virtual CPU devices, by a process of its own."""
    with tempfile.TemporaryDirectory(prefix="devices-") as folder:
        asked, found = Path(folder) / "asked.npz", Path(folder) / "found.npz"
        name = "quick" if size == QUICK else "full"
        np.savez(asked, size=name, seeds=seeds, key=np.asarray(jax.random.key_data(key)))
        paths = os.pathsep.join(filter(None, [str(_ROOT), os.environ.get("PYTHONPATH")]))
        done = subprocess.run(  # noqa: S603 - this file itself
            [sys.executable, "-m", __name__, str(asked), str(found)],
            env={**os.environ, "JAX_PLATFORMS": "cpu", "PYTHONPATH": paths},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"the run on {DEVICES} virtual devices failed:\n{done.stderr[-2000:]}")
        with np.load(found) as arrays:
            return dict(arrays)


def _main(asked: str, found: str) -> None:
    jax.config.update("jax_num_cpu_devices", DEVICES)
    with np.load(asked) as arrays:
        name, seeds, words = str(arrays["size"]), int(arrays["seeds"]), arrays["key"]
    size = QUICK if name == "quick" else FULL
    made = curves(
        ss.sweep,
        ss.SGD,
        network(size),
        schedule(size, "batch_size"),
        every=places(size),
        seeds=seeds,
        key=jax.random.wrap_key_data(jax.numpy.asarray(words)),
        devices=DEVICES,
    )
    np.savez(found, **made)  # type: ignore[arg-type]


if __name__ == "__main__":
    _main(*sys.argv[1:])
