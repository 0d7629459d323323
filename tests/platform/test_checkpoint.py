"""Checkpoints: what is resumed ends with the bits of what was never stopped; what is damaged is seen."""

import hashlib
import json
import logging
import shutil
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from checkpointed_run import everything, jobs, position, same_bits, small, square
from helpers import refused

import sde_sgd as ss
from sde_sgd._platform.checkpoints import _checkpoint
from sde_sgd._platform.checkpoints._checkpoint import Part, checksum
from sde_sgd.simulation import _engine

pytestmark = [
    pytest.mark.filterwarnings("ignore:1 of 15 chains diverged"),
    # when one array cannot be read, orbax leaves the reads of the others behind in a closed event loop
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


class Stopped(Exception):
    """Thrown in the middle of a run."""


def stop_after(monkeypatch, saves):
    """The next run is thrown out after so many checkpoints."""
    count = []

    def save(part, *args, whole=Part.save):
        whole(part, *args)
        count.append(args[0])
        if len(count) == saves:
            raise Stopped

    monkeypatch.setattr(Part, "save", save)


def interrupted(job, folder, monkeypatch, saves=3, **options):
    with monkeypatch.context() as patch:
        stop_after(patch, saves)
        with pytest.raises(Stopped):
            ss.run(**job, checkpoint=ss.Checkpoint(folder, seconds=0), **options)


def hashes(folder):
    """Every file below a folder with its content."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.mark.filterwarnings("ignore:moments of .* chains stopped before the first")
@pytest.mark.parametrize("name", ["sgd", "langevin", "two_point", "chunked", "stopping"])
def test_a_resumed_run_ends_with_the_bits_of_one_never_stopped(name, tmp_path, monkeypatch, blocks):
    """Nothing is done twice either. The devices before and after are not the same in number."""
    job = jobs()[name]
    one, two = jax.local_devices()[:1], jax.local_devices()[:2]
    whole = ss.run(**job, devices=two)
    count = len(blocks)
    expected = everything(whole)
    assert (expected["diverged"] >= 0).any() or name == "two_point"
    assert (expected["stopped"] >= 0).any() == (name == "stopping")
    folder = tmp_path / "run"
    saves = 20 if name == "chunked" else 5  # 16 belong to the first chunk
    interrupted(job, folder, monkeypatch, saves, devices=one)
    assert count < len(blocks) < 2 * count
    again = ss.run(**job, devices=two, checkpoint=ss.Checkpoint(folder, seconds=1e9), resume=True)
    same_bits(expected, everything(again))
    assert len(blocks) == 2 * count
    finished = ss.run(**job, devices=one, checkpoint=folder, resume=True)
    same_bits(expected, everything(finished))
    assert len(blocks) == 2 * count


@pytest.mark.usefixtures("blocks")
def test_a_result_continued_from_a_checkpoint_remembers_what_was_lost(tmp_path, monkeypatch):
    job = jobs()["sgd"]
    first = ss.run(**job)
    assert first.diverged == 1
    expected = ss.run(**job | {"initial": first})
    interrupted(job | {"initial": first}, tmp_path / "run", monkeypatch)
    again = ss.run(**job | {"initial": first}, checkpoint=tmp_path / "run", resume=True)
    same_bits(everything(expected), everything(again))


@pytest.mark.usefixtures("blocks")
def test_the_seconds_between_two_and_how_many_are_kept(tmp_path, monkeypatch):
    job = small(steps=53 * 6, every=53)
    ss.run(**job, checkpoint=tmp_path / "end")
    assert steps_in(tmp_path / "end") == [318]
    ss.run(**job, checkpoint=ss.Checkpoint(tmp_path / "three", seconds=0, keep=3))
    assert steps_in(tmp_path / "three") == [212, 265, 318]
    clock = iter(range(1000))
    monkeypatch.setattr(_engine.time, "monotonic", lambda: float(next(clock)))
    ss.run(**job, checkpoint=ss.Checkpoint(tmp_path / "clock", seconds=2, keep=9))
    assert 1 < len(steps_in(tmp_path / "clock")) < 6


def steps_in(folder):
    return sorted(int(path.name) for path in (folder / "chunk-00000").iterdir() if path.name.isdigit())


def test_resume_on_nothing_starts(tmp_path):
    expected = everything(ss.run(**small()))
    (tmp_path / "empty").mkdir()
    for name in ("empty", "new", "deep/below"):
        result = ss.run(**small(), checkpoint=tmp_path / name, resume=True)
        same_bits(expected, everything(result))


def test_a_start_that_was_killed_before_its_first_checkpoint_is_no_obstacle(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "sde_sgd.tmp").write_text("{")
    ss.run(**small(), checkpoint=folder)
    shutil.rmtree(folder / "chunk-00000")
    again = ss.run(**small(), checkpoint=folder, resume=True)
    same_bits(everything(ss.run(**small())), everything(again))


def closing_over(value):
    return lambda x: x * value


def refusals():
    other = ss.problems.DoubleWell(noise_variance=2.0)
    return {
        "the same without resume": (small(), False, "holds checkpoints of this very run.*resume=True"),
        "key": (small(key=jax.random.key(2)), True, r"key is threefry2x32 \[0, 2\] here.*\[0, 1\] in the"),
        "rate": (small(process=ss.SGD(ss.problems.DoubleWell(), ss.Hyperparameters(0.06, 2))), True,
                 r"process.hyper.learning_rate is 0\.0[56]"),
        "noise": (small(process=ss.SGD(other, ss.Hyperparameters(0.05, 2))), True, "sigma_squared is 2.0"),
        "process": (small(process=ss.Langevin(ss.problems.DoubleWell(), ss.Hyperparameters(0.05, 2))), True,
                    "process is Langevin here, SGD in the checkpoint"),
        "fewer steps": (small(steps=36), True, r"steps is 36 here, but .* at step 40 already \(of 40\)"),
        "chains": (small(chains=5), True, "chains is 5 here, 6 in the checkpoint"),
        "every": (small(every=5), True, "looked at 10 samples, 4 steps apart, this one at 8 samples, 5 "),
        "chunk": (small(chunk=4), True, "chunk is 4 here, 6 in the checkpoint"),
        "start": (small(initial=0.5), True, r"initial is 0\.5"),
        "observable": (small(record={"x": square}), True, "record.*square.* here, position"),
        "closure": (small(record={"x": closing_over(2.0)}), True, "not set in the checkpoint"),
        "moments": (small(moments={"x": position}), True, "recorder.moments is 1 entries here, 0 entries"),
    }  # fmt: skip


@pytest.mark.parametrize("name", refusals())
def test_the_checkpoints_of_another_run_are_refused_and_kept(name, tmp_path):
    ss.run(**small(), checkpoint=tmp_path / "run")
    before = hashes(tmp_path)
    assert len(before) > 5
    job, resume, message = refusals()[name]
    with pytest.raises(ss.CheckpointError, match=f"(?s)(nothing was changed.*{message}|{message})"):
        ss.run(**job, checkpoint=tmp_path / "run", resume=resume)
    assert hashes(tmp_path) == before


@pytest.mark.parametrize("resume", [True, False])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text[: len(text) // 2], "is damaged"),
        (lambda text: "", "is damaged"),
        (lambda text: "[1, 2]", "is damaged"),
        (lambda text: text.replace('"config"', '"konfig"'), "is damaged"),
        (lambda text: text.replace('"format": 2', '"format": 1'), "have format 1, this version reads 2 only"),
        (lambda text: text.replace('"chains": "6"', '"chains": "7"'), "chains is 6 here, 7 in the check"),
    ],
)
def test_a_marker_that_is_damaged_or_of_another_format(change, message, resume, tmp_path):
    folder = tmp_path / "run"
    ss.run(**small(), checkpoint=folder)
    marker = folder / "sde_sgd.json"
    text = marker.read_text()
    assert change(text) != text
    marker.write_text(change(text))
    before = hashes(folder)
    with pytest.raises(ss.CheckpointError, match=message):
        ss.run(**small(), checkpoint=folder, resume=resume)
    assert hashes(folder) == before


@pytest.mark.parametrize("resume", [True, False])
def test_a_folder_with_other_files_is_refused(resume, tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(ss.CheckpointError, match=r"holds other files \('thesis.tex', …\)"):
        ss.run(**small(), checkpoint=tmp_path, resume=resume)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_folder_that_cannot_be(tmp_path):
    file = tmp_path / "file"
    file.write_text("here")
    for path in (file, file / "below"):
        with pytest.raises(ss.CheckpointError, match="cannot be used"):
            ss.run(**small(), checkpoint=path)
    assert file.read_text() == "here"
    with refused(match="resume=True needs checkpoint"):
        ss.run(**small(), resume=True)
    for change in ({"seconds": -1}, {"keep": 0}, {"directory": ""}):
        with refused(match=next(iter(change))):
            ss.Checkpoint(**{"directory": tmp_path, **change})


@pytest.mark.usefixtures("blocks")
def test_other_versions_are_told_and_taken(tmp_path, monkeypatch):
    job = jobs()["langevin"]
    interrupted(job, tmp_path / "run", monkeypatch)
    marker = tmp_path / "run" / "sde_sgd.json"
    content = json.loads(marker.read_text())
    content["libraries"] |= {"jaxlib": "0.0.1"}
    marker.write_text(json.dumps(content))
    with pytest.warns(UserWarning, match=r"other versions \(jaxlib 0.0.1 then, .* now\)"):
        again = ss.run(**job, checkpoint=tmp_path / "run", resume=True)
    same_bits(everything(ss.run(**job)), everything(again))


ARRAYS = {
    "floats": np.random.default_rng(0).normal(size=(40, 30)).astype(np.float32),
    "numbers": np.arange(50, dtype=np.int64) ** 3,
    "one": np.asarray(7, np.int32),
    "none": np.zeros((0, 3), np.float32),
}


def two_checkpoints(folder):
    part = Part(folder, keep=2)
    part.save(10, ARRAYS, {"done": 10, "over": False})
    later = {name: leaf + leaf.dtype.type(1) for name, leaf in ARRAYS.items()}
    part.save(20, later, {"done": 20, "over": True})
    part.close()


def read(folder):
    """What a new process would read: the step, and whether everything is as it was written."""
    part = Part(folder, keep=2)
    try:
        arrays, facts = part.restore()
    finally:
        part.close()
    step = facts["done"]
    assert facts == {"done": step, "over": step == 20}
    for name, leaf in ARRAYS.items():
        np.testing.assert_array_equal(arrays[name], leaf + leaf.dtype.type(step == 20))
        assert arrays[name].dtype == leaf.dtype
    return step


def flip(path, place):
    content = bytearray(path.read_bytes())
    content[int(place * (len(content) - 1))] ^= 0x10
    path.write_bytes(content)


DAMAGES = {
    "flipped": lambda path: flip(path, 0.5),
    "flipped late": lambda path: flip(path, 0.9),
    "half": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "empty": lambda path: path.write_bytes(b""),
    "gone": Path.unlink,
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_no_damaged_file_is_believed(damage, tmp_path, caplog):
    """Of every file of the newest checkpoint: the one before is taken, unless the damage does no harm."""
    two_checkpoints(tmp_path / "whole")
    assert read(tmp_path / "whole") == 20
    newest = tmp_path / "whole" / "20"
    files = sorted(path.relative_to(newest) for path in newest.rglob("*") if path.is_file())
    seen = set()
    for number, file in enumerate(files):
        folder = tmp_path / f"{number}"
        shutil.copytree(tmp_path / "whole", folder)
        DAMAGES[damage](folder / "20" / file)
        caplog.clear()
        with caplog.at_level(logging.WARNING, logger="sde_sgd"):
            step = read(folder)
        told = [entry for entry in caplog.records if entry.name == "sde_sgd"]
        assert len(told) == (step == 10)
        if step == 10:
            assert "damaged, step 20: " in told[0].getMessage()
            assert [path.name.split("-")[0] for path in (tmp_path / f"{number}.damaged").iterdir()] == ["20"]
            assert not (folder / "20").exists()
            seen.add(str(file.parts[0]))
    # the data, and what says what the data are
    assert {"arrays", "facts"} <= seen


def test_every_byte_of_the_data_counts(tmp_path):
    """A flip anywhere in the largest file is noticed, or is of no consequence."""
    two_checkpoints(tmp_path / "whole")
    data = max((tmp_path / "whole" / "20" / "arrays").rglob("*"), key=lambda path: path.stat().st_size)
    noticed = 0
    for number in range(20):
        folder = tmp_path / f"{number}"
        shutil.copytree(tmp_path / "whole", folder)
        flip(folder / data.relative_to(tmp_path / "whole"), number / 19)
        noticed += read(folder) == 10
    assert noticed >= 15


def test_the_facts_are_checked_too(tmp_path):
    two_checkpoints(tmp_path / "run")
    file = tmp_path / "run" / "20" / "facts" / "metadata"
    file.write_text(file.read_text().replace('"over": true', '"over": false'))
    assert read(tmp_path / "run") == 10


def test_when_all_are_damaged_it_says_so_and_changes_nothing(tmp_path):
    two_checkpoints(tmp_path / "run")
    for step in ("10", "20"):
        for file in (tmp_path / "run" / step / "arrays" / "ocdbt.process_0" / "d").iterdir():
            flip(file, 0.5)
    before = hashes(tmp_path)
    with pytest.raises(
        ss.CheckpointError, match=r"(?s)all checkpoints .* damaged; noth.*step 20: .*step 10: "
    ):
        read(tmp_path / "run")
    assert hashes(tmp_path) == before


@pytest.mark.usefixtures("blocks")
def test_a_run_goes_back_to_the_last_good_one(tmp_path, monkeypatch, caplog):
    job = jobs()["langevin"]
    expected = everything(ss.run(**job))
    folder = tmp_path / "run"
    interrupted(job, folder, monkeypatch, 5)
    good, bad = steps_in(folder)
    for file in (folder / "chunk-00000" / str(bad) / "arrays").rglob("*"):
        if file.is_file():
            flip(file, 0.5)
    with caplog.at_level(logging.WARNING, logger="sde_sgd"):
        again = ss.run(**job, checkpoint=folder, resume=True)
    assert f"going back to step {good}" in caplog.text
    same_bits(expected, everything(again))
    same_bits(expected, everything(ss.run(**job, checkpoint=folder, resume=True)))


def with_fewer_moments(part, whole=Part.restore):
    """What a version might have saved that keeps moments otherwise."""
    arrays, facts = whole(part)
    return {name: leaf for name, leaf in arrays.items() if not name.startswith("moments.1")}, facts


def test_a_checkpoint_that_holds_other_arrays_is_refused(tmp_path, monkeypatch):
    interrupted(small(moments={"x": position}), tmp_path / "run", monkeypatch, 1)
    monkeypatch.setattr(Part, "restore", with_fewer_moments)
    with pytest.raises(
        ss.CheckpointError, match=r"the checkpoint's moments has other arrays .* another version"
    ):
        ss.run(**small(moments={"x": position}), checkpoint=tmp_path / "run", resume=True)


def test_a_sweep_with_paired_starts_is_not_the_one_without(tmp_path):
    options = {"learning_rate": [0.05, 0.1], "batch_size": 2, "steps": 4, "key": jax.random.key(1)}
    well = ss.problems.DoubleWell()
    ss.sweep(ss.SGD, well, **options, paired_starts=False, checkpoint=tmp_path / "run")
    with pytest.raises(ss.CheckpointError, match="paired_starts is True here, False in the checkpoint"):
        ss.sweep(ss.SGD, well, **options, checkpoint=tmp_path / "run", resume=True)


@pytest.mark.parametrize("dtype", ["float32", "float16", "int32", "uint32", "uint8", "int64", "float64"])
def test_checksums_see_every_change_and_are_the_same_on_devices(dtype):
    with jax.enable_x64(True):
        array = np.arange(1, 25).reshape(4, 6).astype(dtype)
        whole = checksum(array)
        placed = jax.device_put(array, jax.sharding.NamedSharding(
            jax.sharding.Mesh(np.asarray(jax.local_devices()[:2]), "a"), jax.sharding.PartitionSpec("a")
        ))  # fmt: skip
        assert len(placed.sharding.device_set) == 2
        assert checksum(placed) == whole == int(_checkpoint._checksum_on_devices(placed))
        for place in range(array.size):
            changed = array.copy()
            changed.flat[place] += 1
            assert checksum(changed) != whole
        swapped = array[::-1].copy()
        assert checksum(swapped) != whole
        assert checksum(np.zeros((), dtype)) == checksum(jnp.zeros((), dtype)) == 0
