"""Benchmarks that take processes of their own or count calls, and the README's table of speeds."""

import dataclasses
import json
import os
import shutil
from pathlib import Path

import pytest
from helpers import refused

import sde_sgd as ss
from benchmarks import __main__ as command
from benchmarks import call_overhead, readme, two_processes, wide_vectors
from benchmarks._environment import Environment
from benchmarks._readme_lines import LINES
from benchmarks._rows import Row
from benchmarks._timing import Contender, Effort, Missing
from benchmarks._workers import Workers

ROOT = Path(__file__).parents[2]
SHORT = Effort(rounds=2, seconds=0.001)


def stand_in(monkeypatch, *answers):
    """Workers that never start: each has so much work, in turn, or is missing for that reason."""
    waiting = list(answers)

    class StandIn(Workers):
        def __init__(self, module, *arguments, fault=""):
            self._processes, self._answer_now = [], waiting.pop(0)

        def contender(self, who, work=""):
            if isinstance(self._answer_now, str):
                raise Missing(self._answer_now)
            return Contender(who, lambda steps: sum(range(steps * 100)), self._answer_now)

    for module in (two_processes, wide_vectors):
        monkeypatch.setattr(module, "Workers", StandIn)


def test_wide_vectors_are_beside_narrow_ones_and_all_devices_beside_one(monkeypatch):
    stand_in(monkeypatch, *[10.0] * 6)
    by_hand = Contender("C + OpenMP (same bits)", lambda steps: sum(range(steps * 50)), 10.0)
    monkeypatch.setattr(wide_vectors, "same_bits", lambda process, chains, key: [by_hand])
    rows = wide_vectors.measure(SHORT)
    assert len(rows) == 20
    below = [row for row in rows if row.benchmark.startswith("wide_vectors, ceilings")]
    assert [row.target for row in below] == [None, 0.9, 0.75] * 2
    assert [row.who for row in rows[:2]] == [wide_vectors.WIDE, wide_vectors.NARROW]
    assert rows[0].ratio is None and rows[1].ratio > 0 and rows[1].ratio_kind == "speed"
    assert rows[-1].benchmark.startswith("use_cpu, Euler-Maruyama") and rows[-1].ratio > 0


def test_a_processor_without_wide_vectors_has_one_row_that_says_so(monkeypatch):
    stand_in(monkeypatch, "the processor is not known to have them", 10.0, 10.0, 10.0)
    said, *rest = wide_vectors.measure(SHORT)
    assert said.throughput is None and said.note == "the processor is not known to have them"
    assert [row.benchmark.partition(",")[0] for row in rest] == ["use_cpu", "use_cpu"]


@pytest.mark.parametrize("setting", [wide_vectors.WIDE, wide_vectors.NARROW])
def test_a_width_that_cannot_be_set_is_missing(setting, monkeypatch):
    found = ss.CPUUse(2, 256, "XLA_FLAGS asks for 256 bits")
    monkeypatch.setattr(ss, "use_cpu", lambda **_: found)
    with pytest.raises(Missing, match="XLA_FLAGS asks for 256 bits"):
        wide_vectors.build(setting, wide_vectors.EULER)


def test_processes_that_cannot_be_joined_leave_a_row_that_says_so(monkeypatch):
    stand_in(monkeypatch, "they could not be joined", 10.0)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1}, raising=False)
    monkeypatch.setattr(os, "sched_setaffinity", None, raising=False)
    (said,) = two_processes.measure(SHORT)
    assert said.note == "they could not be joined" and said.benchmark == two_processes.NAME


@pytest.mark.script
def test_a_worker_makes_steps_when_it_is_told_to():
    with Workers(wide_vectors.MODULE, [wide_vectors.NOTHING]) as worker:
        for work, size in (("random numbers, 10^5 a step", 100_000), ("Euler-Maruyama, 10^3 chains", 1000)):
            contender = worker.contender("x", work)
            assert contender.work == size
            contender.run(3)
            contender.run(1)
        (process,) = worker._processes
        process.kill()
        process.wait()
        with pytest.raises(Missing, match="its process has ended"):
            contender.run(1)


@pytest.mark.script
def test_a_worker_that_cannot_do_the_work_says_why(monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", "--xla_cpu_prefer_vector_width=128")
    for setting in (wide_vectors.WIDE, wide_vectors.NARROW):
        with Workers(wide_vectors.MODULE, [setting]) as worker, pytest.raises(Missing, match="128 bits"):
            worker.contender("x", wide_vectors.EULER)


@pytest.mark.script
def test_a_call_takes_longer_than_its_step():
    rows = call_overhead.measure(SHORT)
    assert [row.unit for row in rows] == ["calls", "calls", "programs", "programs"]
    for ours, bare in (rows[:2], rows[2:]):
        assert bare.ratio > 1 and bare.ratio_kind == "time"
        assert ours.throughput < bare.throughput


def test_the_tables_of_readme_and_page_are_those_of_the_results(tmp_path):
    names = {"--readme": ROOT / "README.md", "--page": ROOT / "docs" / "benchmarks.md"}
    copies = {option: Path(shutil.copy(path, tmp_path)) for option, path in names.items()}
    readme.main([str(one) for pair in copies.items() for one in pair])
    for option, path in names.items():
        assert copies[option].read_text() == path.read_text()
    assert (tmp_path / readme.FIGURE).stat().st_size > 20_000


def test_kinds_of_processors_are_side_by_side(tmp_path, capsys):
    def made(device, jax, rows, name):
        here = Environment(device, 2, device, 2, jax, "3.11.7")
        command.write(tmp_path / f"{name}.json", here, SHORT, rows)

    euler = LINES[0].benchmark
    ours = Row(euler, "sde_sgd", "chain-steps", 1e9, 1e9)
    numba = Row(euler, "numba (x)", "chain-steps", 5e8, 5e8, 2.0, 1.9, 2.1)
    small = dataclasses.replace(numba, who="torchsde", ratio=0.02)
    slow = dataclasses.replace(ours, benchmark="exact_noise_step, 1 chain")
    time = dataclasses.replace(
        numba, benchmark=slow.benchmark, who="sde_sgd, full-batch x", ratio_kind="time"
    )
    absent = Row(euler, "torchsde", "chain-steps", note="not installed")
    made("AMD", "0.10.1", [ours, numba, small], "amd")
    made("AMD", "0.10.1", [slow, time], "amd-other")
    made("Intel", "0.10.1", [dataclasses.replace(ours, throughput=2e9), numba, absent], "intel")
    made("Intel", "0.9.2", [ours], "intel-old")
    short, page = tmp_path / "README.md", tmp_path / "page.md"
    for file in (short, page):
        file.write_text(f"# Title\n\n{readme.BEGIN}\nstale\n{readme.END}\n\nEnd.\n")
    arguments = ["--results", str(tmp_path), "--readme", str(short), "--page", str(page)]
    readme.main(arguments)
    for file in (short, page):
        text = file.read_text()
        assert text.startswith("# Title\n\n") and text.endswith("\n\nEnd.\n") and "stale" not in text
    assert short.read_text().splitlines()[4:7] == [
        "| AMD, 2 cores | throughput | beside | ratio |",
        "| --- | --- | --- | --- |",
        "| Euler-Maruyama, 10⁵ chains | 1 G chain-steps/s | numba | 2 |",
    ]
    head, _, *lines = text[text.index("|  | beside") :].splitlines()[:5]
    assert head == "|  | beside | AMD, 2 cores | ratio | Intel, 2 cores | ratio |"
    assert [line.split("|")[2:7] for line in lines] == [
        [" numba ", " 1 G chain-steps/s ", " 2 ", " 2 G chain-steps/s ", " 2 "],
        [" torchsde ", "  ", " 1/50 ", "  ", " – "],
        [" a full-batch gradient step ", " 1 G chain-steps/s ", " 2 times its time ", " – ", " – "],
    ]
    assert "jax 0.10.1, the best of 2 rounds" in text
    here = Environment("NVIDIA H100 80GB HBM3", 1, "AMD", 16, "0.11.2", "3.12.3")
    command.write(tmp_path / "h100-accelerator.json", here, SHORT, [ours, numba, absent])
    readme.main(arguments)
    grown = page.read_text()
    assert text[: text.index(readme.END)] in grown
    tried = json.loads((tmp_path / "h100-accelerator.json").read_text()) | {"smoke": True}
    (tmp_path / "h100-accelerator.json").write_text(json.dumps(tried))
    readme.main(arguments)
    assert page.read_text() == text  # what was only tried is not shown
    head, _, *lines = grown[grown.rindex("|  | on NVIDIA") :].splitlines()[:4]
    assert head == "|  | on NVIDIA H100 80GB HBM3 | its throughput | sde_sgd's over it |"
    assert lines == [
        f"| {euler} | sde_sgd | 1 G chain-steps/s |  |",
        "|  | numba (x) | 500 M chain-steps/s | 2 |",
    ]
    assert "HBM3: jax 0.11.2, the best of 2 rounds of 0.001 s (`make accelerator`)" in grown
    page.write_text("# Title\n")
    for wrong, said in ((tmp_path, "must hold the lines"), (tmp_path / "empty", "which has none")):
        with pytest.raises(SystemExit):
            readme.main(["--results", str(wrong), *arguments[2:]])
        assert said in capsys.readouterr().err
    (tmp_path / "amd.json").write_text(json.dumps({}))
    with refused("--results must be a file that"):
        readme.update(tmp_path, short, page)


def test_every_line_of_the_readme_is_of_a_benchmark_that_there_is():
    known = [*command.BENCHMARKS, "two-point increments", "use_cpu"]
    for line in LINES:
        assert any(line.benchmark.startswith(name) for name in known), line
