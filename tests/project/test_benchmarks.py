"""The benchmarks' own arithmetic: what is counted, how ratios are judged, what is written."""

import dataclasses
import json
import subprocess
import sys
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import refused

import sde_sgd as ss
from benchmarks import __main__ as command
from benchmarks import (
    _against,
    _timing,
    chain_kernel,
    ensemble_size,
    matrix_products,
    mlp_ceiling,
    random_numbers,
)
from benchmarks._ensemble import divisible, loop
from benchmarks._environment import Environment
from benchmarks._figure import SAME_BITS, VECTORISED, curves, draw
from benchmarks._rows import Row, Target, calls_told, quantity, table
from benchmarks._timing import (
    Contender,
    Effort,
    Entrant,
    Missing,
    Peer,
    compare,
    enter,
    enter_with,
    race,
    with_ratio,
)

ROOT = Path(__file__).parents[2]
SHORT = Effort(rounds=2, seconds=0.001)


def test_the_products_of_a_step_are_what_xla_counts():
    problem = ss.problems.mlp(ss.data.digits(), hidden=mlp_ceiling.HIDDEN)
    theta = problem.init(jax.random.key(0))
    batch = jnp.arange(mlp_ceiling.BATCH)
    step = jax.jit(lambda at: jax.tree.map(lambda x, g: x - 0.1 * g, at, problem.batch_gradient(at, batch)))
    counted = step.lower(theta).compile().cost_analysis()["flops"]
    products = matrix_products.of_step(mlp_ceiling.WIDTHS, mlp_ceiling.BATCH)
    ours = sum(product.flops for product in products)
    # the rest is the work on single numbers
    assert 0.95 * counted < ours <= counted


def test_the_products_are_made_in_every_step():
    products = matrix_products.of_step((3, 5, 2), 4)
    assert [product.name for product in products] == [
        "forward",
        "weight gradient",
        "forward",
        "weight gradient",
        "input gradient",
    ]
    made = matrix_products.contender("all", products, runs=3)
    assert made.work == divisible(3) * 2 * 4 * (2 * 3 * 5 + 3 * 5 * 2)
    for product in products:
        left, right = np.ones((1, *product.left)), np.ones((1, *product.right))
        _, one, two = np.einsum(product.equation, left, right).shape
        inner = product.flops // (2 * one * two)
        assert inner in product.left and inner in product.right
    made.run(2)


def test_a_loop_goes_on_from_where_it_was():
    seen = []

    def body(step, carry):
        jax.debug.callback(lambda sums: seen.append(float(sums[0])), carry[1])
        return carry[0], carry[1] + carry[0] + step

    size = divisible(3)
    run = loop(body, (jnp.ones((size,)), jnp.zeros((size,))))
    run(3)
    run(1)
    jax.effects_barrier()
    assert size % jax.device_count() == 0
    assert set(seen) == {0.0, 1.0, 3.0, 6.0}


@pytest.mark.parametrize("chains", [1, 5])
def test_the_random_numbers_are_drawn_for_chains_that_devices_share(chains):
    made = random_numbers.ceiling(chains)
    assert made.work == divisible(chains)
    made.run(2)


def counting(who, work=1.0):
    return Contender(who, lambda steps: sum(range(steps * 100)), work)


def test_compare_judges_a_peer_and_names_a_missing_one():
    def missing():
        raise Missing("not installed; install it")

    peers = (
        Peer("slow", lambda: [counting("slow", work=0.1)], Target(2)),
        Peer("absent", missing, Target(3)),
        Peer("informative", lambda: [counting("informative")]),
    )
    ours, slow, absent, informative = compare("sums", "sums", counting("ours"), peers, SHORT)
    assert ours.ratio is None and ours.met is None
    assert slow.met is True and slow.ratio > 2 and slow.ratio_lowest <= slow.ratio_highest
    assert absent.throughput is None and absent.target == 3 and absent.met is None
    assert informative.ratio is not None and informative.target is None
    text = table([ours, slow, absent, informative])
    assert "not installed; install it" in text and ">= 2" in text and "met" in text


def test_a_busy_moment_does_not_end_the_search_for_the_number_of_steps():
    calls = []

    def run(steps):
        calls.append(steps)
        time.sleep(0.02 if len(calls) == 3 else steps * 1e-4)

    assert enter([Contender("x", run, 1)], 0.01).steps >= 30


def made_up(call, step, monkeypatch):
    """A contender whose call takes so many seconds and each of its steps so many, on a clock of its own."""
    now = [0.0]

    def run(steps):
        now[0] += call + steps * step

    monkeypatch.setattr(_timing.time, "perf_counter", lambda: now[0])
    return Contender("x", run, 1)


@pytest.mark.parametrize(
    ("call", "step", "seconds"),
    [
        (0.0, 1e-6, 0.01),
        (1e-4, 1e-6, 0.01),
        (2e-3, 1e-6, 0.04),
        (0.02, 1e-6, 0.08),
        (0.5, 0.02, 0.52),
    ],
)
def test_rounds_are_so_long_that_they_hold_little_of_a_call(call, step, seconds, monkeypatch):
    """Twenty times the call, or eight times what was asked for; what a call holds beyond is told."""
    entrant = enter([made_up(call, step, monkeypatch)], 0.01)
    assert call + entrant.steps * step == pytest.approx(seconds, rel=1e-2)
    assert entrant.call_share == pytest.approx(call / seconds, rel=1e-2, abs=1e-9)


def test_what_is_longer_in_one_step_than_a_round_is_timed_in_one(monkeypatch):
    entrant = enter([made_up(0.1, 0.9, monkeypatch)], 0.01)
    assert (entrant.steps, entrant.call_share) == (1, None)


def test_steps_that_are_not_chosen_tell_the_call_too(monkeypatch):
    assert enter_with(made_up(0.5, 0.5, monkeypatch), 1).call_share is None
    assert enter_with(made_up(1.0, 0.5, monkeypatch), 8).call_share == pytest.approx(0.2)


def test_rows_of_which_calls_are_a_good_part_are_named():
    rows = [Row("x", "much", "steps", call_share=0.2), Row("x", "little", "steps", call_share=0.01)]
    assert calls_told(rows).endswith("faster than told: x / much (20%)")
    assert calls_told(rows[1:]).endswith("whatever their steps: none")
    (ours,) = compare("sums", "sums", counting("ours"), [], SHORT)
    assert ours.call_share is not None


def test_a_race_times_every_entrant_in_every_round():
    order = []
    entrants = [Entrant(Contender(who, lambda _, who=who: order.append(who), 1), 1) for who in "ab"]
    spent = race(entrants, 3)
    assert order == list("ababab")
    assert [len(times) for times in spent] == [3, 3]


@pytest.mark.parametrize(
    ("target", "ratio", "met"),
    [(Target(2), 2.0, True), (Target(2), 1.9, False), (Target(2, "time"), 2.1, False)],
)
def test_with_ratio(target, ratio, met):
    row = with_ratio(Row("x", "y", "z"), [2 * ratio, 4 * ratio], [2.0, 2.0], target)
    assert row.ratio == pytest.approx(ratio) and row.met is met
    assert (row.ratio_lowest, row.ratio_highest) == pytest.approx((ratio, 2 * ratio))


def test_shares_are_of_the_best_size_and_show_a_cliff():
    rows = [Row("x", who, "chain-steps", chains=1) for who in ("small", "best", "cliff")]
    small, best, cliff = ensemble_size.shares(rows, [[2.0, 1.5], [1.0, 1.0], [5.0, 4.0]], Target(0.5))
    assert (small.ratio, best.ratio, cliff.ratio) == pytest.approx((1 / 1.5, 1.0, 0.25))
    assert (small.met, best.met, cliff.met) == (True, True, False)
    assert (cliff.ratio_lowest, cliff.ratio_highest) == pytest.approx((0.2, 0.25))


def made_up_rows():
    rows = [Row("double_well", "sde_sgd", "chain-steps", 1e9, 1e9)]
    for who, speed in (("sde_sgd, Gaussian", 1e9), ("numba", 3e8), (ensemble_size.CEILING, 1.1e9)):
        sizes = (100_000,) if who == ensemble_size.CEILING else (1, 1000, 10**7)
        rows += [
            Row(f"ensemble_size, {who}", f"{size} chains", "chain-steps", speed, speed, chains=size)
            for size in sizes
        ]
    return [*rows, Row("ensemble_size, torchsde", "", "chain-steps", note="not installed")]


def test_the_figure_shows_what_was_measured(tmp_path):
    rows = made_up_rows()
    assert curves(rows)["numba"] == ([1, 1000, 10**7], [3e8] * 3)
    assert "torchsde" not in curves(rows)
    assert draw(rows, tmp_path / "figure.png", "somewhere").stat().st_size > 10_000
    # the C that is faster than ours is raced elsewhere, and shown all the same
    raced = [Row(f"double_well, 10^{power} chains", SAME_BITS, "chain-steps", 2e9, 2e9) for power in (3, 5)]
    assert curves([*rows, *raced])[VECTORISED] == ([1000, 100_000], [2e9, 2e9])
    assert VECTORISED not in curves(rows)
    assert draw([*rows, *raced], tmp_path / "more.png").stat().st_size > 10_000
    with refused(match="rows of ensemble_size"):
        draw(rows[:1], tmp_path / "none.png")


def test_the_results_file_says_where_it_was_made(tmp_path):
    here = Environment("AMD EPYC(TM)", 2, "AMD EPYC(TM)", 2, "0.10.1", "3.11.7", {"numba": "0.61"})
    assert here.slug == "amd-epyc-2-cores"
    command.write(tmp_path / "results.json", here, SHORT, made_up_rows())
    content = json.loads((tmp_path / "results.json").read_text())
    assert content["environment"]["devices"] == 2
    assert content["environment"]["peers"] == {"numba": "0.61"}
    assert content["effort"] == {"rounds": 2, "seconds": 0.001}
    assert content["rows"][1]["chains"] == 1


@pytest.mark.parametrize(
    ("device", "devices", "slug"),
    [("NVIDIA H200", 1, "nvidia-h200"), ("NVIDIA H200", 8, "8-nvidia-h200")],
)
def test_the_name_of_an_accelerator(device, devices, slug):
    assert Environment(device, devices, "AMD EPYC", 16, "0.10.1", "3.11.7").slug == slug


def test_a_width_of_vectors_that_is_not_the_usual_one_is_told():
    here = Environment("AMD EPYC", 2, "AMD EPYC", 2, "0.10.1", "3.11.7")
    assert "bits" not in here.header()
    assert "2 jax devices with vectors of 512 bits" in dataclasses.replace(here, vector_bits=512).header()


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (4.5e9, "B", "4.5 GB/s"),
        (1.25e12, "FLOP", "1.25 TFLOP/s"),
        (4.5e6, "steps", "4.5 M steps/s"),
        (250.0, "calls", "4 ms/call"),
        (2e4, "programs", "0.05 ms/program"),
    ],
)
def test_units(value, unit, text):
    assert text in table([Row("x", "y", unit, value, value)])
    assert quantity(12.5) == "12.5"


def test_a_figure_of_what_is_left_out_is_refused(tmp_path, capsys):
    with pytest.raises(SystemExit):
        command.main(["--only", "copy_bandwidth", "--figure", str(tmp_path / "x.png")])
    assert "--figure shows ensemble_size" in capsys.readouterr().err


def test_a_record_of_all_is_not_replaced_by_one_of_some(tmp_path, capsys):
    with pytest.raises(SystemExit):
        command.main(["--only", "copy_bandwidth", "--results", str(tmp_path)])
    assert "leave out --only" in capsys.readouterr().err


@pytest.mark.script
def test_the_command_line(tmp_path):
    arguments = ["--quick", "--only", "copy_bandwidth", "--json", str(tmp_path / "rows.json")]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", *arguments], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert "copy_bandwidth" in done.stdout and "GB/s" in done.stdout
    (written,) = tmp_path.iterdir()
    assert json.loads(written.read_text())["rows"][0]["throughput"] > 0


def ratios(*told):
    """Rows of one benchmark: who, ratio, its range, and what kind it is of."""
    return [
        Row("sums", who, "sums", 1.0, 1.0, ratio, *within, ratio_kind=kind)
        for who, ratio, within, kind in told
    ]


def test_a_ratio_that_fell_by_more_than_its_range_is_marked(tmp_path):
    then = ratios(
        ("slower now", 2.0, (1.9, 2.1), "speed"),
        ("as before", 2.0, (1.5, 2.1), "speed"),
        ("faster now", 2.0, (1.9, 2.1), "speed"),
        ("takes longer", 1.0, (0.9, 1.1), "time"),
        ("takes less", 1.0, (0.9, 1.1), "time"),
        ("gone", 1.0, (0.9, 1.1), "speed"),
    )
    now = ratios(
        ("slower now", 1.7, (1.6, 1.8), "speed"),
        ("as before", 1.5, (1.5, 1.6), "speed"),
        ("faster now", 2.3, (2.2, 2.4), "speed"),
        ("takes longer", 1.3, (1.2, 1.4), "time"),
        ("takes less", 0.7, (0.6, 0.8), "time"),
        ("added", 1.0, (0.9, 1.1), "speed"),
    )
    path = tmp_path / "then.json"
    here = Environment("CPU", 2, "CPU", 2, "0.10.1", "3.11.7")
    command.write(path, here, SHORT, then)
    earlier = _against.read(path)
    assert earlier.rows == tuple(then)
    found = {
        (change.now or change.then).who: change.verdict
        for change in _against.changes(earlier, now, everything=False)
    }
    assert found == {
        "slower now": "FELL",
        "as before": "",
        "faster now": "rose",
        "takes longer": "FELL",
        "takes less": "rose",
        "added": "new",
        "gone": "not measured",
    }
    told = _against.report(earlier, _against.changes(earlier, now, everything=False), "GPU", (9, 0.3))
    assert "fell by more than the range: sums / slower now, sums / takes longer, of 7 ratios" in told
    assert "this is GPU: ratios differ" in told and "short rounds" in told
    other = [Row("other", "x", "sums", 1.0, 1.0, 1.0, 0.9, 1.1)]
    assert [change.verdict for change in _against.changes(earlier, other, everything=False)] == ["new"]
    assert len(_against.changes(earlier, other, everything=True)) == 7


@pytest.mark.parametrize("text", [None, "no json", "[]", '{"rows": []}', '{"environment": {"cpu": 1}}'])
def test_results_that_cannot_be_read_are_refused(tmp_path, text):
    path = tmp_path / "then.json"
    if text is not None:
        path.write_text(text)
    with refused(match="--against must be a file that .*then.json"):
        _against.read(path)


@pytest.mark.parametrize(
    "path", sorted((ROOT / "benchmarks" / "results").glob("*.json")), ids=lambda path: path.stem
)
def test_every_committed_result_can_be_held_against(path):
    earlier = _against.read(path)
    same = _against.changes(earlier, earlier.rows, everything=True)
    assert same and {change.verdict for change in same} == {""}


def test_a_cpu_says_why_the_kernel_has_no_numbers():
    (row,) = chain_kernel.measure(SHORT)
    assert row.throughput is None and "a CPU has no kernel to compile" in row.note
    assert row.note in table([row])


@pytest.mark.script
def test_the_kernel_is_timed_beside_the_plain_loop(monkeypatch):
    """As on a GPU, but stepped through."""
    use = ss.chain_kernel
    monkeypatch.setattr(ss, "chain_kernel", lambda: use(interpret=True))
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    monkeypatch.setattr(chain_kernel, "FEW", 8)
    rows = chain_kernel.measure(SHORT, sizes=(8, 16))
    assert [row.benchmark.split(", ", 1)[1] for row in rows] == [
        name
        for name, count in (
            ("gaussian, 8 chains", 2),
            ("two_point, 8 chains", 2),
            ("gaussian, 16 chains", 3),
            ("two_point, 16 chains", 3),
        )
        for _ in range(count)
    ]
    assert rows[1].target == 5 and rows[5].target is None
    assert rows[6].ratio == rows[4].throughput / chain_kernel.HOPED and rows[6].met is False
