"""Parts of sweeps: merged they have the bits of the one call, killed or not; what is no whole is refused."""

import pickle
import re
import signal
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
import xarray as xr
from checkpointed_run import digits, same_bits
from helpers import class_data, finished, launch, refused, some_as_scripts, untyped, wait_for

import sde_sgd as ss
from sde_sgd._platform import _devices
from sde_sgd._platform.checkpoints._lock import FolderLock
from sde_sgd.simulation._merge_sweeps import _in_words

WELL = ss.problems.DoubleWell()
ONE, TWO = jax.devices()[:1], jax.devices()[:2]


def position(x):
    return x


FEW = {"process": ss.SGD, "problem": WELL, "learning_rate": [0.05, 0.1], "batch_size": [1, 2, 4]}
FEW |= {"steps": 12, "every": 4, "seeds": 2, "key": jax.random.key(3), "devices": ONE}
FEW |= {"record": {"x": position}}


def in_parts(count, **options):
    return [ss.sweep(**options, part=(number, count)) for number in range(count)]


def same(one, other):
    """To the last bit: values, dtypes, coordinates, attributes and θ."""
    left, right = (result.dataset.assign_attrs(seconds=None) for result in (one, other))
    xr.testing.assert_identical(left, right)
    assert list(left.variables) == list(right.variables)
    same_bits(bits(one), bits(other))


def bits(result):
    numbers = {
        str(name): variable.values
        for name, variable in result.dataset.variables.items()
        if variable.dtype.kind in "fiub"
    }
    leaves = jax.tree_util.tree_leaves_with_path(result.theta)
    return {**numbers, **{f"theta{jax.tree_util.keystr(path)}": leaf for path, leaf in leaves}}


# The bits of one call


@pytest.mark.script
def test_a_sweep_of_networks_in_five_parts_one_of_them_killed(tmp_path, blocks):
    """3 B x 4 η x 8 seeds on digits, in jobs of 8 runs: five parts, the third killed by SIGKILL in its first
    job after two checkpoints and resumed, have the bits of the sweep in one call."""
    whole = ss.sweep(**digits())
    folder = tmp_path / "parts"
    arguments = ["digits", tmp_path / "none.npz", "--folder", folder, "--devices", 2, "--pause", 0.05]
    child = launch(*arguments, "--part", 2, 5)
    wait_for(child, "saved 80")
    child.send_signal(signal.SIGKILL)
    finished(child, -signal.SIGKILL)
    for number in (4, 0, 3, 1):
        ss.sweep(**digits(), part=(number, 5), checkpoint=folder)
    missing = r"part 2 of 5 is missing; part 2 has begun and not ended\. Run .*part=\(2, 5\).*resume=True"
    with refused(match=missing):
        ss.merge_sweeps(folder)
    blocks.clear()
    part = ss.sweep(**digits(), part=(2, 5), checkpoint=folder, resume=True)
    assert blocks[0] >= 80
    assert part.dataset.sizes["chain"] == 16
    same(ss.merge_sweeps(folder), whole)


@pytest.mark.script
def test_parts_of_networks_are_whole_groups_of_runs(key):
    """Without `chunk`: a group for each B."""
    problem = ss.problems.mlp(class_data(size=24), hidden=(6,))
    options = {"learning_rate": [0.05, 0.1, 0.2], "batch_size": [2, 4], "seeds": 3, "epochs": 2}
    options |= {"keep_theta": True, "key": key, "process": ss.SGD, "problem": problem}
    parts = in_parts(2, **options)
    assert [sorted({*part.dataset["batch_size"].values.tolist()}) for part in parts] == [[2], [4]]
    same(ss.merge_sweeps(parts[::-1]), ss.sweep(**options))


TILTED = ss.problems.DoubleWell(tilt=0.1)
SCHEDULES = {
    name: ss.schedules.piecewise([8, 8], learning_rate=[0.1, 0.05], batch_size=sizes, unit="steps")
    for name, sizes in (("up", [1, 2]), ("down ½", [2, 1]), ("held", [2, 2]))
}
KINDS = {
    "θ kept": {"keep_theta": True},
    "two devices side by side": {"seeds": 1, "learning_rate": 0.1, "devices": TWO, "keep_theta": True},
    "two devices": {"seeds": 9, "devices": TWO},
    "some stop": {"stop_loss": 0.05, "steps": 40},
    "schedules": {
        "schedule": SCHEDULES,
        "learning_rate": None,
        "batch_size": None,
        "steps": None,
        "keep_theta": True,
    },
    "several problems": {"problem": {"flat": WELL, "tilted": TILTED}, "batch_size": [2, 4]},
    "a list of settings": {
        "problem": {"flat": WELL, "tilted": TILTED},
        "runs": [
            {"problem": "tilted", "learning_rate": 0.1, "batch_size": 2},
            {"problem": "flat", "learning_rate": 0.2, "batch_size": 2},
            {"problem": "flat", "learning_rate": 0.1, "batch_size": 4},
        ],
        "learning_rate": None,
        "batch_size": None,
    },
    "equal time": {"time": 1.0, "steps": None, "every": 0.5},
    "one setting": {"learning_rate": 0.1, "batch_size": 2, "seeds": 6, "chunk": 2},
    "axes of integers": {"learning_rate": [1, 2], "batch_size": [8.0, 16.0], "problem": TILTED},
    "names of our own dimensions": {"record": {"chain": position, "part": position, "chain_": position}},
    "an array": {"record": {"xs": lambda x: x * np.arange(3.0, dtype=np.float32)}},
}


@pytest.mark.parametrize(
    "name", some_as_scripts(KINDS, at_once=["θ kept", "schedules", "several problems", "one setting"])
)
@pytest.mark.filterwarnings("ignore:.* runs diverged", "ignore:part . of 4 has nothing to do")
def test_parts_have_the_bits_of_one_call(name, tmp_path):
    """In memory and by files of both kinds."""
    options = {**FEW, **KINDS[name]}
    whole = ss.sweep(**options)
    parts = in_parts(4, **options)
    same(ss.merge_sweeps(parts), whole)
    paths = [
        part.save(tmp_path / f"{part.part[0]}{'.nc' if part.part[0] % 2 else '.zarr'}") for part in parts
    ]
    same(ss.merge_sweeps(paths), whole)


def test_parts_share_out_each_run_once_and_by_cost():
    """B = 1, 2 and 4 cost 12, 24 and 48 examples a run."""
    parts = in_parts(2, **FEW)
    chains = np.concatenate([part.dataset["chain"].values for part in parts])
    assert sorted(chains.tolist()) == list(range(12))
    assert [sorted({*part.dataset["batch_size"].values.tolist()}) for part in parts] == [[4], [1, 2]]
    assert in_parts(1, **FEW)[0].dataset.sizes["chain"] == 12


def test_a_part_says_which_runs_it_holds():
    part = ss.sweep(**FEW, part=(0, 3))
    found = part.dataset
    assert found["x"].dims == ("chain", "step")
    assert found["batch_size"].values.tolist() == [4] * 4
    assert found["learning_rate"].values.tolist() == [0.05, 0.1] * 2
    assert found["seed"].values.tolist() == [0, 0, 1, 1]
    assert found["chain"].values.tolist() == [2, 5, 8, 11]  # seed · points + point
    assert repr(part).startswith("SweepPart(part=(0, 3), chain: 4, step: 4; x, diverged_at, stopped_at")
    again = pickle.loads(pickle.dumps(part))
    assert again.dataset.identical(found)
    assert again.part == (0, 3)


def test_what_diverged_in_a_part_is_said_then_and_once_more():
    options = {**FEW, "learning_rate": [0.05, 2.5], "steps": 400, "every": 400, "batch_size": [1, 2]}
    with pytest.warns(UserWarning, match=r"2 of 4 runs diverged in part \(1, 2\); diverged_at says which"):
        part = ss.sweep(**options, part=(1, 2))
    with pytest.warns(UserWarning, match=r"diverged in part \(0, 2\)"):
        other = ss.sweep(**options, part=(0, 2))
    with pytest.warns(UserWarning, match=r"4 of 8 runs diverged; SweepResult\.diverged\(\) lists them"):
        merged = ss.merge_sweeps([part, other])
    assert len(merged.diverged()) == 4


def test_the_merged_sweep_says_the_call_that_repeats_the_whole():
    merged = ss.merge_sweeps(in_parts(2, **FEW))
    assert "part=" not in merged.dataset.attrs["call"]
    assert not [name for name in merged.dataset.attrs if name.startswith("sde_sgd")]
    assert merged.seconds == float(merged.dataset.attrs["seconds"]) > 0


# Parts with nothing to do


def test_a_part_without_runs_is_saved_and_says_what_makes_some(tmp_path):
    parts = []
    for number in range(5):
        if number < 3:
            parts.append(ss.sweep(**FEW, part=(number, 5), checkpoint=tmp_path))
            continue
        told = rf"part {number} of 5 has nothing to do: .* of which this sweep has 3\. chunk=2, in all parts"
        with pytest.warns(UserWarning, match=told):
            parts.append(ss.sweep(**FEW, part=(number, 5), checkpoint=tmp_path))
        assert parts[-1].dataset.sizes["chain"] == 0
        assert repr(parts[-1]) == f"SweepPart(part=({number}, 5), no runs)"
    same(ss.merge_sweeps(tmp_path), ss.sweep(**FEW))
    full = in_parts(5, **FEW, chunk=2)  # as was said
    assert min(part.dataset.sizes["chain"] for part in full) > 0
    with pytest.warns(
        UserWarning,
        match=r"part 15 of 20 has nothing to do: the sweep has 12 runs, in 3 groups .* At most 12 parts",
    ):
        ss.sweep(**FEW, part=(15, 20))


# One folder for all


def test_each_part_has_its_place_in_one_folder(tmp_path):
    """Others may be at work there."""
    folder = tmp_path / "parts"
    other = FolderLock(folder / "part-0001-of-0002" / "sde_sgd.lock")
    (folder / "part-0001-of-0002").mkdir(parents=True)
    assert other.take()
    ss.sweep(**FEW, part=(0, 2), checkpoint=ss.Checkpoint(folder, seconds=0))
    names = {path.name for path in folder.iterdir()}
    assert names == {"part-0000-of-0002", "part-0000-of-0002.nc", "part-0001-of-0002"}
    with refused(match="part-0001-of-0002' is in use by", error=ss.CheckpointError):
        ss.sweep(**FEW, part=(1, 2), checkpoint=folder)
    other.release()
    ss.sweep(**FEW, part=(1, 2), checkpoint=str(folder))
    same(ss.merge_sweeps(str(folder)), ss.sweep(**FEW))


def test_a_finished_part_is_read_and_its_file_written_anew(tmp_path, blocks):
    first = ss.sweep(**FEW, part=(0, 2), checkpoint=tmp_path)
    (tmp_path / "part-0000-of-0002.nc").unlink()
    with refused(match="very run.*Pass resume=True", error=ss.CheckpointError):
        ss.sweep(**FEW, part=(0, 2), checkpoint=tmp_path)
    blocks.clear()
    again = ss.sweep(**FEW, part=(0, 2), checkpoint=tmp_path, resume=True)
    assert blocks == []
    same(first, again)
    ss.sweep(**FEW, part=(1, 2), checkpoint=tmp_path)
    same(ss.merge_sweeps(tmp_path), ss.sweep(**FEW))


def test_all_parts_can_be_made_longer_but_not_some(tmp_path):
    longer = {**FEW, "steps": 20}
    for number in (0, 1):
        ss.sweep(**FEW, part=(number, 2), checkpoint=tmp_path)
    ss.sweep(**longer, part=(0, 2), checkpoint=tmp_path, resume=True)
    told = (
        r"1-of-0002\.nc' belongs to another .* than .*0-of-0002\.nc':\n  length is 12\.0 steps in .*, 20\.0"
    )
    with refused(match=told):
        ss.merge_sweeps(tmp_path)
    ss.sweep(**longer, part=(1, 2), checkpoint=tmp_path, resume=True)
    same(ss.merge_sweeps(tmp_path), ss.sweep(**longer))


def test_checkpoints_of_two_parts_cannot_be_exchanged(tmp_path):
    for number in (0, 1):
        ss.sweep(**FEW, part=(number, 2), checkpoint=tmp_path)
    (tmp_path / "part-0000-of-0002").rename(tmp_path / "aside")
    (tmp_path / "part-0001-of-0002").rename(tmp_path / "part-0000-of-0002")
    with refused(match=r"part is \(0, 2\) here, \(1, 2\) in the checkpoint", error=ss.CheckpointError):
        ss.sweep(**FEW, part=(0, 2), checkpoint=tmp_path, resume=True)


def test_no_part_of_another_sweep_begins_in_the_folder(tmp_path, blocks):
    ss.sweep(**FEW, part=(0, 2), checkpoint=tmp_path)
    blocks.clear()
    changes = {
        r"seeds is 3 here, 2 in part-0000-of-0002\n": ({"seeds": 3}, (1, 2)),
        r"parts is 4 here, 2 in part-0000-of-0002\n": ({}, (1, 4)),
    }
    for told, (change, part) in changes.items():
        with refused(match=rf"(?s)holds parts of another sweep; .*\n  {told}", error=ss.CheckpointError):
            ss.sweep(**{**FEW, **change}, part=part, checkpoint=tmp_path)
    assert blocks == []
    assert not (tmp_path / "part-0001-of-0002").exists()
    (tmp_path / "part-0000-of-0002" / "sde_sgd.json").write_text("damaged")  # which is its own to say
    ss.sweep(**FEW, part=(1, 2), checkpoint=tmp_path)


def test_a_part_whose_file_cannot_be_written_is_in_the_error(tmp_path, monkeypatch):
    def fail(*_args, **_options):
        raise ss.FileError("no space left")

    monkeypatch.setattr(ss.SweepPart, "save", fail)
    with refused(
        match="the SweepPart: save it elsewhere.*But no space left", error=ss.CheckpointError
    ) as told:
        ss.sweep(**FEW, part=(0, 2), checkpoint=tmp_path)
    assert told.value.result.part == (0, 2)


def test_what_a_part_is_kept_in_is_asked_for_before_it_runs(tmp_path, monkeypatch, blocks):
    monkeypatch.setitem(sys.modules, "netCDF4", None)
    words = r"part-0000-of-0002\.nc' needs netCDF4, which cannot be imported .*: pip install netCDF4"
    with refused(match=words, error=ImportError):
        ss.sweep(**FEW, part=(0, 2), checkpoint=tmp_path / "parts")
    assert blocks == []
    assert not (tmp_path / "parts").exists()


# What is not the whole


@pytest.fixture(scope="module")
def three(tmp_path_factory):
    """Files of three parts."""
    folder = tmp_path_factory.mktemp("three")
    return [part.save(folder / f"{part.part[0]}.nc") for part in in_parts(3, **FEW)]


def test_missing_parts_are_named(three):
    with refused(match=r"part 1 of 3 is missing\. Run sweep\(\.\.\., part=\(1, 3\)\)"):
        ss.merge_sweeps([three[2], three[0]])
    with refused(match=r"parts 0 and 2 of 3 are missing"):
        ss.merge_sweeps(three[1:2])
    with refused(match=r"parts 1 and 2 of 3 are missing"):
        ss.merge_sweeps(three[0])
    assert _in_words([3]) == "3"
    assert _in_words([0, 1, 2, 5, 7, 8]) == "0 to 2, 5, 7 and 8"


def test_a_part_that_is_there_twice_is_named(three, tmp_path):
    copy = tmp_path / "copy.nc"
    copy.write_bytes(three[1].read_bytes())
    with refused(match=r"part 1 of 3 is there twice, '.*1\.nc' and '.*copy\.nc'; give each once"):
        ss.merge_sweeps([*three, copy])
    with refused(match=r"'.*1\.nc' is listed twice"):
        ss.merge_sweeps([*three, three[1]])


FOREIGN = {
    r"key is .* in '.*', .* in ": {"key": jax.random.key(4)},
    r"points\[0\]\['learning_rate'\] is 0\.02 in '.*', 0\.05 in ": {"learning_rate": [0.02, 0.1]},
    r"seeds is 3 in '.*', 2 in": {"seeds": 3},
    r"chunk is 2 in '.*', None in": {"chunk": 2},
    r"process is Langevin in '.*', SGD in": {"process": ss.Langevin},
    r"every is 6\.0 steps in '.*', 4\.0 steps in": {"every": 6},
    r"keep_theta is True in '.*', False in": {"keep_theta": True},
    r"record\['x'\]": {"record": {"x": lambda x: 2 * x}},
}


@pytest.mark.parametrize("told", FOREIGN)
def test_a_part_of_another_sweep_is_refused_by_what_differs(told, three, tmp_path):
    other = ss.sweep(**{**FEW, **FOREIGN[told]}, part=(2, 3)).save(tmp_path / "other.nc")
    with refused(match=rf"(?s)'.*other\.nc' belongs to another sweep than '.*0\.nc':\n.*{told}"):
        ss.merge_sweeps([*three[:2], other])


def test_parts_of_other_numbers_or_precisions_are_refused(three):
    with refused(match=r"parts\[2\] belongs to another sweep than .*:\n  parts is 2 in parts\[2\], 3 in '"):
        ss.merge_sweeps([three[0], three[1], ss.sweep(**FEW, part=(1, 2))])
    with jax.enable_x64(True):
        wide = ss.sweep(**FEW, part=(2, 3))
    with refused(match=r"jax_enable_x64 is True in parts\[2\], False in '"):
        ss.merge_sweeps([three[0], three[1], wide])


def test_what_is_no_part_is_refused(three, tmp_path):
    whole = ss.sweep(**FEW).save(tmp_path / "whole.nc")
    with refused(
        match="is not a part of a sweep: it holds a sweep; read it with read_sweep", error=ss.FileError
    ):
        ss.merge_sweeps([*three[:2], whole])
    with refused(
        match="is not a sweep: it holds a part of a sweep; read it with merge_sweeps", error=ss.FileError
    ):
        ss.read_sweep(three[0])
    damaged = tmp_path / "damaged.nc"
    content = bytearray(three[2].read_bytes())
    content[len(content) // 2] ^= 1
    damaged.write_bytes(content)
    with refused(match=r"damaged\.nc' is damaged", error=ss.FileError):
        ss.merge_sweeps([*three[:2], damaged])
    with refused(match="a SweepResult of sweep or a pair .*, got SweepPart"):
        ss.plot.curves("x", SGD=ss.sweep(**FEW, part=(0, 3)))
    for wrong in ([], 3, None, [3], [three[0], None], {}):
        with refused(match=re.escape("parts must be a folder, or a list of files or SweepParts, got ")):
            ss.merge_sweeps(wrong)
    for folder in (tmp_path / "nothing", tmp_path):
        with refused(match=r"parts must be a folder with files of parts, .* holds none\. sweep\("):
            ss.merge_sweeps(folder)


def test_files_may_come_one_by_one(three):
    same(ss.merge_sweeps(path for path in three), ss.merge_sweeps(Path(path) for path in three[::-1]))


def test_parts_of_other_machines_are_told(three, monkeypatch):
    monkeypatch.setattr(_devices, "device_name", lambda _device: "another")
    other = ss.sweep(**FEW, part=(2, 3))
    told = r"not computed alike: devices is 1 x another in parts\[2\], 1 x .* in '.*0\.nc'\. Their runs may"
    with pytest.warns(UserWarning, match=told):
        merged = ss.merge_sweeps([three[0], three[1], other])
    same(merged, ss.sweep(**FEW))


# Arguments


PAIRS = [(5, 5), (-1, 5), (7, 5), (0, 0), (0, -2)]
OTHERS = ["1", 3, 1.0, True, (1,), (0, 1, 2), (0.0, 5), (1.0, 5.0), (True, 5), (0, True), ("0", "5"), {0, 5}]


@pytest.mark.parametrize("part", [*PAIRS, *OTHERS], ids=str)
def test_bad_parts_are_refused(part):
    if part in PAIRS:
        told = (
            rf"part must be \(i, n\) with .*, got \({part[0]}, {part[1]}\)\. (Parts are counted|One part, )"
        )
    else:
        told = (
            rf"part must be two integers \(i, n\).*, got .*{re.escape(str(part)[1:-1])}.*\(0, 5\).*\(4, 5\)\."
        )
    with refused(match=told):
        ss.sweep(**FEW, part=part)


def test_numpy_integers_and_lists_are_parts():
    with untyped():
        assert ss.sweep(**FEW, part=[np.int64(1), np.int32(3)]).part == (1, 3)


def test_what_cannot_be_told_apart_is_refused_before_anything_runs(blocks):
    factors = (number for number in (1.0, 2.0))
    options = {**FEW, "record": {"x": lambda x: x * next(factors)}}
    with refused(match=r"^part: record\['x'\]\.factors is an object of generator .* whether a part belongs"):
        ss.sweep(**options, part=(0, 2))
    with refused(match="resume=True needs checkpoint"):
        ss.sweep(**FEW, part=(0, 2), resume=True)
    assert blocks == []


def test_there_may_be_a_million_parts():
    with pytest.warns(UserWarning, match="has nothing to do"):
        part = ss.sweep(**FEW, part=(2**20 - 1, 2**20))
    with refused(match="parts 0 to 1048574 of 1048576 are missing"):
        ss.merge_sweeps(part)
    with refused(match=r"with 1 <= n <= 1048576, got \(0, 1048577\)"):
        ss.sweep(**FEW, part=(0, 2**20 + 1))
