"""Checkpoint folders with files damaged, cut short, exchanged or gone."""

import os
import resource
import shutil
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from torture import _forked, _jobs
from torture._row import Row

MUTANTS = 4000
SECONDS = 2.0
# more than the process had after the first hundred: what reading one checkpoint may never take
MEGABYTES = 300.0
KINDS = ("one bit flipped", "cut short", "bytes put in", "file gone", "zeros", "two exchanged")


def rows(amount: float, seed: int) -> list[Row]:
    """Each is resumed: to the same bits, or refused by `CheckpointError`; never more than two seconds."""
    count = max(len(KINDS), round(MUTANTS * amount))
    found = {kind: Row(f"checkpoint folder, {kind}") for kind in KINDS}
    with tempfile.TemporaryDirectory() as folder:
        for number, outcome, failure in _jobs.spread(count, partial(_begin, Path(folder), seed)):
            found[KINDS[number % len(KINDS)]].note(outcome, failure)
    return list(found.values())


def _begin(base: Path, seed: int) -> Callable[[int], tuple[str, str | None]]:
    import logging
    import warnings

    import jax

    import sde_sgd as ss

    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    # orbax's threads complain at length of reads whose result nobody waits for any more
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    hyper = ss.Hyperparameters(0.05, 2)
    job: dict[str, Any] = {"process": ss.SGD(ss.problems.DoubleWell(), hyper), "chains": 6, "steps": 40}
    job |= {
        "every": 4,
        "key": jax.random.key(1),
        "record": {"x": _theta},
        "moments": {"x": _theta},
        "chunk": 3,
    }
    home = Path(tempfile.mkdtemp(dir=base))
    expected = _forked.everything(ss.run(**job, checkpoint=ss.Checkpoint(home / "whole", seconds=1e9)))
    # the same run cut short: two checkpoints of the second part, so that there is one to go back to
    ss.run(**{**job, "steps": 20}, checkpoint=home / "two")
    ss.run(**job, checkpoint=home / "two", resume=True)
    most = [0.0]

    def trial(number: int) -> tuple[str, str | None]:
        # on a busy machine anything may take long once: what is slow itself is slow every time
        for _ in range(3):
            outcome, failure = once(number)
            if failure is None or not failure.endswith(" s"):
                break
        return outcome, failure

    def once(number: int) -> tuple[str, str | None]:
        kind, rng = KINDS[number % len(KINDS)], np.random.default_rng([seed, number])
        told = f"seed {seed}, trial {number}, {kind}"
        folder = home / f"trial-{number}"
        shutil.copytree(home / ("whole" if rng.random() < 0.3 else "two"), folder)
        what = _damage(folder, kind, rng)
        began = time.perf_counter()
        try:
            found = _forked.everything(ss.run(**job, checkpoint=folder, resume=True))
            wrong, outcome = _forked.differing(expected, found), "same bits"
        except ss.CheckpointError as error:
            wrong, outcome = None, "refused"
            if len(str(error)) < 40:
                wrong = f"refused without a word: {error}"
        except Exception as error:  # noqa: BLE001 - any other error is what is looked for
            wrong, outcome = f"{type(error).__name__}: {error}", "failed"
        seconds = time.perf_counter() - began
        shutil.rmtree(folder)
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
        if number < 100 * _jobs.JOBS or not most[0]:
            most[0] = max(memory, most[0])
        if wrong is None and seconds > SECONDS:
            wrong = f"took {seconds:.1f} s"
        if wrong is None and memory > most[0] + MEGABYTES:
            wrong = f"memory grew to {memory:.0f} MB"
        return ("failed", f"{told} ({what}): {wrong}") if wrong else (outcome, None)

    return trial


def _theta(x: Any) -> Any:
    return x


def _damage(folder: Path, kind: str, rng: np.random.Generator) -> str:
    """Do it to a random file, or pair of folders; what was done, in words."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != "sde_sgd.lock")
    if kind == "two exchanged":
        folders = sorted(path for path in folder.rglob("*") if path.is_dir()) if rng.random() < 0.5 else files
        same = [
            (a, b) for a in folders for b in folders if a < b and b not in a.parents and a not in b.parents
        ]
        one, other = same[int(rng.integers(len(same)))]
        aside = folder / "aside"
        one.rename(aside)
        other.rename(one)
        aside.rename(other)
        return f"{one.relative_to(folder)} and {other.relative_to(folder)}"
    file = files[int(rng.integers(len(files)))]
    content = bytearray(file.read_bytes())
    place = int(rng.integers(max(len(content), 1)))
    if kind == "file gone":
        file.unlink()
        return str(file.relative_to(folder))
    if kind == "one bit flipped" and content:
        content[place] ^= 1 << int(rng.integers(8))
    elif kind == "cut short":
        del content[place:]
    elif kind == "bytes put in":
        content[place:place] = rng.bytes(int(rng.integers(1, 64)))
    elif kind == "zeros":
        content[place : place + 16] = bytes(len(content[place : place + 16]))
    file.write_bytes(content)
    return f"{file.relative_to(folder)} at {place}"
