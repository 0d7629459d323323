"""Files of results: damaged, cut short, killed while they are written, on a disk that is full."""

import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

import sde_sgd as ss
from sde_sgd._platform.files import _files
from sde_sgd.simulation._sweep_result import build_dataset
from torture._row import Row

SECONDS, MEGABYTES = 2.0, 64.0
MUTANTS, KILLS, DISKS = 3000, 120, 40


def made(seed: int, seeds: int = 3, samples: int = 7) -> ss.SweepResult:
    """A sweep of 2 × 2 points with numbers of its own."""
    rng = np.random.default_rng(seed)
    axes = {"learning_rate": [0.02, 0.05], "batch_size": [1, 2]}
    variables = {
        "loss": rng.normal(size=(4, seeds, samples)).astype(np.float32),
        "x": rng.normal(size=(4, seeds, samples, 2)),
        "diverged_at": np.full((4, seeds), -1),
        "stopped_at": rng.integers(-1, 5, (4, seeds)),
    }
    per_point = {
        "ratio": np.asarray([0.02, 0.01, 0.05, 0.025]),
        "updates": np.arange(4 * samples).reshape(4, -1),
    }
    attributes = {"created_by": "sde_sgd 0, jax 0", "seconds": 1.5, "process": "SGD"}
    steps = ("step", np.arange(samples))
    return ss.SweepResult(build_dataset(axes, seeds, steps, variables, per_point, attributes), seconds=1.5)


def content(result: ss.SweepResult) -> dict[str, tuple[str, bytes]]:
    """All numbers, to the last bit."""
    data = result.dataset
    numbers = {str(name): (str(data[name].dtype), data[name].values.tobytes()) for name in data.variables}
    return {**numbers, "attributes": ("", repr(sorted(data.attrs.items())).encode())}


def flip(data: bytes, rng: random.Random) -> bytes:
    place = rng.randrange(len(data))
    return data[:place] + bytes([data[place] ^ 1 << rng.randrange(8)]) + data[place + 1 :]


def zero_block(data: bytes, rng: random.Random) -> bytes:
    place, size = rng.randrange(len(data)), rng.choice([4, 64, 512, 4096])
    return data[:place] + bytes(min(size, len(data) - place)) + data[place + size :]


def scramble(data: bytes, rng: random.Random) -> bytes:
    place, size = rng.randrange(len(data)), rng.choice([1, 8, 512])
    return data[:place] + rng.randbytes(min(size, len(data) - place)) + data[place + size :]


def insert(data: bytes, rng: random.Random) -> bytes:
    place = rng.randrange(len(data) + 1)
    return data[:place] + rng.randbytes(rng.choice([1, 16, 1000])) + data[place:]


def several(data: bytes, rng: random.Random) -> bytes:
    for _ in range(rng.randrange(2, 20)):
        data = flip(data, rng)
    return data


BYTES: dict[str, Callable[[bytes, random.Random], bytes]] = {
    "one bit flipped": flip,
    "cut short": lambda data, rng: data[: rng.randrange(len(data))],
    "a block of zeros": zero_block,
    "a block scrambled": scramble,
    "bytes put in": insert,
    "many bits flipped": several,
}


def judged(row: Row, path: Path, whole: dict[str, Any], label: str) -> None:
    """Read a damaged file: refused with the one error, or the same bits, in bounded time."""
    begun = time.perf_counter()
    try:
        found = content(ss.read_sweep(path))
        outcome, failure = "same bits", None if found == whole else f"{label}: changed numbers are accepted"
    except ss.FileError:
        outcome, failure = "refused", None
    except Exception as error:  # noqa: BLE001 - that is what is looked for
        outcome, failure = "another error", f"{label}: {type(error).__name__}: {error}"
    took = time.perf_counter() - begun
    if took > SECONDS:
        failure = f"{label}: took {took:.1f} s"
    row.note(outcome, failure)


def netcdf(amount: float, seed: int, folder: Path) -> Iterator[Row]:
    path = folder / "whole.nc"
    whole = content(ss.read_sweep(made(seed).save(path)))
    data, mutant = path.read_bytes(), folder / "mutant.nc"
    for what, change in BYTES.items():
        row = Row(f"NetCDF file of a sweep, {what}")
        for number in range(max(1, round(amount * MUTANTS / len(BYTES)))):
            rng = random.Random(f"{seed} {what} {number}")
            mutant.write_bytes(change(data, rng))
            judged(row, mutant, whole, f"seed {seed}, number {number}")
        yield row


def lost(_folder: Path, files: list[Path], rng: random.Random) -> None:
    rng.choice(files).unlink()


def emptied(_folder: Path, files: list[Path], rng: random.Random) -> None:
    rng.choice(files).write_bytes(b"")


def swapped(_folder: Path, files: list[Path], rng: random.Random) -> None:
    one, other = rng.sample(files, 2)
    first, second = one.read_bytes(), other.read_bytes()
    one.write_bytes(second)
    other.write_bytes(first)


def of_another(folder: Path, files: list[Path], rng: random.Random) -> None:
    others = {file: folder.with_name("other.zarr") / file.relative_to(folder) for file in files}
    one = rng.choice([file for file in files if file.read_bytes() != others[file].read_bytes()])
    shutil.copy(others[one], one)


def folder_lost(folder: Path, files: list[Path], rng: random.Random) -> None:
    shutil.rmtree(rng.choice(sorted({file.parent for file in files} - {folder})))


def folder_for_file(_folder: Path, files: list[Path], rng: random.Random) -> None:
    one = rng.choice(files)
    one.unlink()
    one.mkdir()


def wrong_json(_folder: Path, files: list[Path], rng: random.Random) -> None:
    one = rng.choice([file for file in files if file.name.startswith(".z")])
    one.write_text(rng.choice(["", "[]", "null", "{", '{"shape": [1e99]}', "[" * 100_000, "1" * 10_000]))


def number_changed(_folder: Path, files: list[Path], rng: random.Random) -> None:
    one = rng.choice([file for file in files if file.name.startswith(".z")])
    text = one.read_text()
    places = [place for place, letter in enumerate(text) if letter.isdigit()]
    place = rng.choice(places or [0])
    one.write_text(text[:place] + str(rng.randrange(10)) + text[place + 1 :])


FOLDERS: dict[str, Callable[[Path, list[Path], random.Random], None]] = {
    "a file lost": lost,
    "a file emptied": emptied,
    "two files swapped": swapped,
    "a file of another sweep": of_another,
    "a folder lost": folder_lost,
    "a folder in place of a file": folder_for_file,
    "wrong JSON": wrong_json,
    "a digit in its JSON changed": number_changed,
}


def in_one_file(change: Callable[[bytes, random.Random], bytes]) -> Callable[..., None]:
    def mutate(_folder: Path, files: list[Path], rng: random.Random) -> None:
        one = rng.choice(files)
        one.write_bytes(change(one.read_bytes(), rng))

    return mutate


def zarr(amount: float, seed: int, folder: Path) -> Iterator[Row]:
    whole = content(ss.read_sweep(made(seed).save(folder / "whole.zarr")))
    made(seed + 1).save(folder / "other.zarr")
    kinds = {**FOLDERS, **{what: in_one_file(change) for what, change in BYTES.items()}}
    mutant = folder / "mutant.zarr"
    for what, change in kinds.items():
        row = Row(f"Zarr folder of a sweep, {what}")
        for number in range(max(1, round(amount * MUTANTS / len(kinds)))):
            shutil.rmtree(mutant, ignore_errors=True)
            shutil.copytree(folder / "whole.zarr", mutant)
            files = sorted(file for file in mutant.rglob("*") if file.is_file())
            change(mutant, files, random.Random(f"{seed} {what} {number}"))
            judged(row, mutant, whole, f"seed {seed}, number {number}")
        yield row


def forked(work: Callable[[], None]) -> int:
    """A child that does the work and nothing else; its process number."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the parent's threads have no part in it
        child = os.fork()
    if child:
        return child
    status = 1
    try:
        work()
        status = 0
    finally:
        os._exit(status)


def kills(amount: float, seed: int, folder: Path) -> Iterator[Row]:
    """SIGKILL at a random moment of `save(overwrite=True)`: the old one or the new one, whole."""
    for name in ("sweep.nc", "sweep.zarr", "set aside.zarr"):
        if name.startswith("set"):
            _files._exchanged = lambda new, target: False  # type: ignore[assignment]
        row = Row(f"SIGKILL at a random moment of save(overwrite=True), {name}")
        path = folder / name
        results = [made(seed, 3), made(seed + 1, 400, 50)]
        contents = [content(result) for result in results]
        begun = time.perf_counter()
        for result in results:
            result.save(path, overwrite=True)
        usual, there = (time.perf_counter() - begun) / 2, 1
        for number in range(max(2, round(amount * KILLS / 3))):
            rng = random.Random(f"{seed} {name} {number}")
            new = 1 - there
            child = forked(lambda: results[new].save(path, overwrite=True) and None)  # noqa: B023
            time.sleep(rng.uniform(0, 1.5 * usual))
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            label = f"seed {seed}, number {number}"
            try:
                found = content(ss.read_sweep(path))
            except Exception as error:  # noqa: BLE001 - that is what is looked for
                row.note("unreadable", f"{label}: {type(error).__name__}: {error}")
                results[there].save(path, overwrite=True)
                continue
            which = contents.index(found) if found in contents else None
            row.note({there: "the old one", new: "the new one"}.get(which, "neither"),  # type: ignore[call-overload]
                     None if which is not None else f"{label}: neither the old nor the new")  # fmt: skip
            there = there if which is None else which
        results[there].save(path, overwrite=True)
        left = [entry.name for entry in folder.iterdir() if entry.name.startswith(f".{name}")]
        if left:
            row.failures.append(f"the next save leaves {left}")
            row.held -= 1
        yield row


def disks(amount: float, seed: int, folder: Path) -> Iterator[Row]:
    """A file may not grow beyond some size, as on a full disk: a word, and the old one whole."""
    for name in ("full.nc", "full.zarr"):
        row = Row(f"a disk that is full during save(overwrite=True), {name}")
        path = folder / name
        old, new = made(seed, 3), made(seed + 1, 400, 50)
        old.save(path, overwrite=True)
        before = content(old)
        largest = 8 * new.dataset.sizes["seed"] * 50 * 4 * 2
        for number in range(max(2, round(amount * DISKS / 2))):
            limit = random.Random(f"{seed} {name} {number}").randrange(largest // 2)

            def work(limit: int = limit) -> None:
                signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
                resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
                try:
                    new.save(path, overwrite=True)  # noqa: B023
                except ss.FileError as error:
                    if str(path) in str(error) and "MB free" in str(error):  # noqa: B023
                        os._exit(17)
                    os._exit(18)

            status = os.waitstatus_to_exitcode(os.waitpid(forked(work), 0)[1])
            label = f"seed {seed}, number {number}, {limit} bytes"
            try:
                found = content(ss.read_sweep(path))
            except Exception as error:  # noqa: BLE001 - that is what is looked for
                row.note("unreadable", f"{label}: {type(error).__name__}: {error}")
                continue
            if status == 17:
                row.note("refused", None if found == before else f"{label}: the old one is gone")
            else:
                written = status == 0 and found == content(new)
                row.note("written" if written else "another end", None if written else f"{label}: {status}")
                old.save(path, overwrite=True)
        left = [entry.name for entry in folder.iterdir() if entry.name.startswith(f".{name}")]
        if left:
            row.failures.append(f"it leaves {left}")
        yield row


def mutants(amount: float, seed: int, folder: Path) -> Iterator[Row]:
    """Damaged files of both kinds, and the memory that reading them takes."""
    for made_rows, suffix in ((netcdf, ".nc"), (zarr, ".zarr")):
        ss.read_sweep(made(seed).save(folder / f"first{suffix}"))
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        found = list(made_rows(amount, seed, folder))
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
        found[-1].outcomes["MB of memory beyond the first read, at most"] = round(grown)
        if grown > MEGABYTES:
            found[-1].failures.append(f"memory grew by {grown:.0f} MB")
        yield from found


_PARTS = {"mutants": mutants, "kills": kills, "disks": disks}


def rows(amount: float, seed: int) -> list[Row]:
    """All of it, each part in a process of its own that has not begun to compute with JAX."""
    found = []
    for part in _PARTS:
        program = f"from torture import result_files; result_files.write({part!r}, {amount}, {seed})"
        paths = os.pathsep.join([str(Path(__file__).parents[1]), str(Path(__file__).parents[2])])
        done = subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONPATH": paths, "JAX_PLATFORMS": "cpu"},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            found.append(Row(part, 1, 0, {"crashed": 1}, [f"exit {done.returncode}: {done.stderr[-500:]}"]))
        else:
            found += [Row(**one) for one in json.loads(done.stdout.splitlines()[-1])]
    return found


def write(part: str, amount: float, seed: int) -> None:
    """One part, its rows on standard output as JSON."""
    with TemporaryDirectory() as folder:
        found = [vars(row) for row in _PARTS[part](amount, seed, Path(folder))]
    sys.stdout.write(json.dumps(found) + "\n")
