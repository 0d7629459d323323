"""`python -m benchmarks.accelerator`: a step that hangs or crashes ends no other, and all is kept."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmarks import _against
from benchmarks._rows import Row
from benchmarks.accelerator import __main__ as command
from benchmarks.accelerator import _plan, _results
from benchmarks.accelerator._step import Found, Report, Skip, Step
from benchmarks.accelerator._watch import Watch, work

ROOT = Path(__file__).parents[2]
# a worker that does what the names of its steps say
WORKER = """
import json, os, sys, time
for name in sys.argv[1:]:
    print(json.dumps({"begins": name}), flush=True)
    print("a library talks", flush=True)
    if name == "hangs":
        time.sleep(600)
    if name == "crashes":
        print("out of memory", file=sys.stderr, flush=True)
        os._exit(3)
    report = {"name": name, "status": "done", "seconds": 0.0, "reason": "", "found": None}
    print(json.dumps(report), flush=True)
"""


def watched(tmp_path, names, seconds=60.0, limit=30.0, announce=lambda step: None):
    deadline = time.monotonic() + seconds
    watch = Watch([sys.executable, "-c", WORKER], deadline, tmp_path / "said.txt", announce)
    return list(watch.reports([Step(name, limit, lambda smoke: Found()) for name in names]))


def test_steps_are_done_one_after_the_other(tmp_path):
    begun: list[str] = []
    reports = watched(tmp_path, ["first", "second"], announce=lambda step: begun.append(step.name))
    assert [(report.name, report.status) for report in reports] == [("first", "done"), ("second", "done")]
    assert begun == ["first", "second"]


def test_a_crash_costs_its_own_step_alone(tmp_path):
    reports = watched(tmp_path, ["first", "crashes", "third"])
    assert [report.status for report in reports] == ["done", "failed", "done"]
    assert reports[1].reason == "the worker ended with status 3: out of memory"
    assert reports[1].is_wrong
    assert not reports[2].is_wrong


def test_a_step_that_hangs_is_ended_at_its_limit(tmp_path):
    reports = watched(tmp_path, ["hangs", "second"], limit=1.0)
    assert [report.status for report in reports] == ["over its limit", "done"]
    assert reports[0].reason == "more than 1 s"
    assert 1.0 <= reports[0].seconds < 20.0


@pytest.mark.script
def test_what_the_time_is_not_enough_for_is_said(tmp_path):
    reports = watched(tmp_path, ["hangs", "second", "third"], seconds=3.0)
    assert [report.status for report in reports] == ["over its limit", "not begun", "not begun"]
    assert {report.reason for report in reports} == {"the time was up"}


def test_a_worker_says_how_each_step_went():
    def skipped(_: bool) -> Found:
        raise Skip("there is none here")

    def failed(_: bool) -> Found:
        raise RuntimeError("first line\nsecond line")

    row = Row("made up", "sde_sgd", "steps", 1.0, 1.0, ratio=float("nan"))
    steps = [
        Step("wrong", 1, lambda smoke: Found([f"{smoke}"], {"x": float("inf")}, [row], right=False)),
        Step("skipped", 1, skipped),
        Step("failed", 1, failed),
        Step("missing", 1, lambda smoke: Found(), needs=("no_such_package",)),
    ]
    lines: list[str] = []
    work(steps, True, lines.append)
    told = [json.loads(line) for line in lines]
    assert [line.get("begins") for line in told[::2]] == ["wrong", "skipped", "failed", "missing"]
    reports = [Report.of_json(line) for line in told[1::2]]
    assert [report.status for report in reports] == ["done", "skipped", "failed", "skipped"]
    assert [report.reason for report in reports] == [
        "",
        "there is none here",
        "RuntimeError: first line",
        "no_such_package not installed",
    ]
    found = reports[0].found
    assert found is not None
    assert (found.lines, found.facts, found.right) == (["True"], {"x": None}, False)
    assert found.rows == [Row("made up", "sde_sgd", "steps", 1.0, 1.0)]  # None for what is no number
    assert [report.is_wrong for report in reports] == [True, False, True, False]


def test_results_are_kept_as_the_others_are(tmp_path):
    facts = {
        "environment": {
            "device": "NVIDIA H100 80GB HBM3", "devices": 1, "processor": "AMD EPYC", "cores": 16,
            "jax": "0.11.2", "python": "3.12.3", "peers": {},
        }
    }  # fmt: skip
    before = [Report("first", "failed", 1.0, "no reason")]
    _results.write(tmp_path, before, smoke=False)
    assert json.loads((tmp_path / "unknown-device-accelerator.json").read_text())["environment"] is None
    row = Row("made up", "a peer", "steps", 2.0, 2.0, 1.5, 1.4, 1.6)
    reports = [*before, Report("device", "done", 0.1, "", Found(["a line"], facts, [row], right=True))]
    _results.write(tmp_path, reports, smoke=False)
    (file,) = tmp_path.iterdir()
    assert file == _results.path(tmp_path, reports)
    assert file.name == "nvidia-h100-80gb-hbm3-jax-0.11.2-accelerator.json"
    earlier = _against.read(file)
    assert (earlier.device, earlier.rows) == ("NVIDIA H100 80GB HBM3, jax 0.11.2", (row,))
    content = json.loads(file.read_text())
    assert (content["smoke"], earlier.is_smoke, earlier.is_accelerator) == (False, False, True)
    steps = content["steps"]
    assert [step["status"] for step in steps] == ["failed", "done"]
    assert "rows" not in steps[1]["found"]
    assert _results.told(reports[1]) == "device: done, right (0.1 s)\n  a line"
    assert _results.summary(reports) == "2 steps: 1 failed, 1 done; wrong: none"


def test_limits_leave_time_for_what_matters_most(tmp_path):
    steps = _plan.steps(tmp_path)
    names = [step.name for step in steps]
    assert len(set(names)) == len(names)
    assert names.index("invariance") < names.index("ceilings") < names.index("card") == len(names) - 1
    # what is right, and the claim of it all, come to an end in the seven minutes even at their limits
    assert sum(step.limit for step in steps[: names.index("invariance") + 1]) < 7 * 60


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--out", "{file}"], "--out must be a folder, got the file"),
        (["--out", "{folder}", "--minutes", "0"], "--minutes must be above 0, got 0."),
        ([], "the following arguments are required: --out"),
        (["--out", "{folder}", "--only", "speed"], "--only must be among device, chains,"),
        (["--out", "{folder}"], "which holds x-accelerator.json; name another, or give --overwrite."),
    ],
)
def test_bad_options_are_refused(tmp_path, capsys, arguments, message):
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "x-accelerator.json").write_text("")
    given = [part.format(file=tmp_path / "file", folder=tmp_path / "folder") for part in arguments]
    with pytest.raises(SystemExit):
        command.main(given)
    assert message in capsys.readouterr().err


@pytest.mark.script
def test_everything_runs_small(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.accelerator", "--smoke", "--out", str(tmp_path)],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    (file,) = tmp_path.glob("*-accelerator.json")
    content = json.loads(file.read_text())
    statuses = {step["name"]: (step["status"], step["reason"]) for step in content["steps"]}
    assert list(statuses) == [step.name for step in _plan.steps(tmp_path)]
    assert statuses.pop("precision") == ("skipped", "a CPU has one precision of float32 products")
    assert set(statuses.values()) == {("done", "")}
    assert _against.read(file).rows
    assert (tmp_path / "eta_over_batch_invariance.png").stat().st_size > 10_000
    rights = [step["found"]["right"] for step in content["steps"] if step["found"]]
    assert rights.count(True) == 9
