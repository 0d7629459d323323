"""The examples run as a user runs them, and show what they say."""

import os
import re
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

import sde_sgd as ss

pytestmark = pytest.mark.script
ROOT = Path(__file__).parents[2]


def run_script(name, out, *options, environment=None):
    command = [sys.executable, str(ROOT / "examples" / f"{name}.py"), "--quick", "--out", str(out), *options]
    here = {**os.environ, **(environment or {})}
    return subprocess.run(command, capture_output=True, text=True, check=True, cwd=out, env=here).stdout


def run_example(name, out):
    said = run_script(name, out)
    assert (out / f"{name}.png").stat().st_size > 20_000
    assert "device: " in said
    return said


def test_double_well_histograms(tmp_path):
    text = run_example("double_well_histograms", tmp_path)
    rows = re.findall(r"SGD +(\S+) +\d+ +(\S+) ± (\S+)", text)
    distances = {float(rate): (float(ks), float(error)) for rate, ks, error in rows}
    for rate, exact in ((0.2, 0.0259), (0.1, 0.0115), (0.05, 0.0055)):
        # the largest of many noisy differences lies above the exact one by about one standard error
        ks, error = distances[rate]
        assert exact - 5.5 * error < ks < exact + 6.5 * error


def test_eta_over_batch_invariance(tmp_path):
    text = run_example("eta_over_batch_invariance", tmp_path)
    rows = re.findall(r"^ +0\.\d+ +\d +(0\.\d+) +(0\.\d+) +0\.\d+$", text, re.MULTILINE)
    assert len(rows) == 4
    for within, across in rows:
        assert float(within) < float(across)


def test_two_minima(tmp_path):
    text = run_example("two_minima", tmp_path)
    rows = re.findall(r"(0\.\d+) ± (0\.\d+) +(0\.\d+) ± (0\.\d+) +(0\.\d+) +0\.\d+", text)
    assert len(rows) == 10
    for _, _, sde, error, exact in rows:
        # 5.5 standard errors, and .01 for what 200 units of time leave of the start
        assert abs(float(sde) - float(exact)) < 5.5 * float(error) + 0.01


def test_the_sde_follows_sgd_on_digits_if_its_noise_is_right():
    """Noisy digits, η/B = .01, 8 epochs, 8 seeds: exact C(θ) within 2 seed SD, isotropic beyond 10.

    Means of 8 seeds differ by ½ seed SD (one standard error) for the same law, so 2 is four errors.
    """
    digits = ss.data.with_label_noise(ss.data.digits(), 0.25, key=jax.random.key(42))
    problem = ss.problems.mlp(digits)
    keys = iter(jax.random.split(jax.random.key(11), 8))

    def losses(process):
        steps = 1280 // process.hyper.batch_size
        options = {"chains": 8, "steps": 8 * steps, "every": steps, "record": {"loss": problem.loss}}
        return ss.run(process, key=next(keys), **options).record["loss"][1:]

    reference = losses(ss.SGD(problem, ss.Hyperparameters(0.08, 8)))

    def distance(process):
        other = losses(process)
        pooled = np.sqrt((reference.var(axis=1, ddof=1) + other.var(axis=1, ddof=1)) / 2)
        return np.max(np.abs(other.mean(axis=1) - reference.mean(axis=1)) / pooled)

    coarse = ss.Hyperparameters(0.32, 32)
    assert distance(ss.SGD(problem, ss.Hyperparameters(0.08, 8))) < 2
    assert distance(ss.Langevin(problem, ss.Hyperparameters(0.08, 8), substeps=2)) < 2
    assert distance(ss.Langevin(problem, coarse, noise="isotropic", substeps=2)) > 10
    assert distance(ss.Langevin(problem, coarse, noise="none", substeps=2)) > 10


def test_own_loss(tmp_path):
    """The share of the middle well is that of the law: 5.5 standard errors, and .01 for a finite η.

    ηL'' is .12 there: SGD's variance in a well is 6 % larger, its free energies move by .03 T.
    """
    text = run_example("own_loss", tmp_path)
    rows = re.findall(
        r"(even|outwards) +(SGD|SDE) .* (0\.\d+) ± (0\.\d+) +(0\.\d+) +(0\.\d+)$", text, re.MULTILINE
    )
    assert len(rows) == 4
    for noise, _, share, error, law, gibbs in rows:
        assert abs(float(share) - float(law)) < 5.5 * float(error) + 0.01
        assert (float(law) - float(gibbs) > 0.1) == (noise == "outwards")


def test_sweep_eta_over_batch(tmp_path):
    text = run_example("sweep_eta_over_batch", tmp_path)
    shares = [float(share) for share in re.findall(r"accounts for (\S+)% of the variance", text)]
    assert len(shares) == 2
    # were η/B irrelevant, groups of equal η/B would hold about (7 − 1)/(16 − 1) = 40 % of the variance
    assert min(shares) > 70
    assert "0 runs diverged" in text


def test_optimal_batch_size(tmp_path):
    """It runs, and has an exponent for each; at this size the optima are at the ends of their grids."""
    text = run_example("optimal_batch_size", tmp_path)
    exponents = dict(re.findall(r"exponent in (\S+?|1/\(1 − m\)): (-?\d\.\d+) \[", text))
    assert set(exponents) == {"η", "1/(1 − m)", "N"}


def test_sweep_job_array(tmp_path):
    """By tasks of Slurm, by options, and merged, or all at once: the same numbers to the last digit shown."""
    task = {"SLURM_ARRAY_TASK_ID": "1"}
    parts = [run_script("sweep_job_array", tmp_path, "--part", "0", "--parts", "2")]
    parts.append(run_script("sweep_job_array", tmp_path, "--parts", "2", environment=task))
    assert [re.findall(r"SweepPart\(part=(\(., .\)), chain: \d+", text) for text in parts] == [
        ["(0, 2)"],
        ["(1, 2)"],
    ]
    assert not (tmp_path / "sweep_job_array.png").exists()
    merged = run_script("sweep_job_array", tmp_path, "--merge")
    assert (tmp_path / "sweep_job_array.png").stat().st_size > 20_000
    assert ss.read_sweep(tmp_path / "sweep_job_array.nc").dataset.sizes["seed"] == 2
    other = tmp_path / "other"
    other.mkdir()
    rows = [
        re.findall(r"^ +0\.\d+ .*$", text, re.MULTILINE)
        for text in (merged, run_example("sweep_job_array", other))
    ]
    assert len(rows[0]) == 4
    assert rows[0] == rows[1]


def test_does_the_sde_hold(tmp_path):
    """Small steps "yes", large ones "no", and few chains "cannot tell".

    At η = .02 the step makes some .03 more variance (ηλ/2, λ = 2 to 3.5), of the .1 allowed. 256 chains know
    the temperature of a direction to .03, so that their intervals of probability .99 end at some .15, short
    of the .2 where "yes" ends. At η = .32 it is .5 or so, five times too much. 8 chains know no ratio to
    better than .1, with intervals of 3.5 standard errors: too wide for a "yes"; and a "no" where the effect
    is .03 would be a false alarm, one in a thousand.
    """
    text = run_example("does_the_sde_hold", tmp_path)
    pattern = r"^ +η = (\S+), B = \d+(?:, 8 chains)? +(\d+) +(\D+?) +(\S+) +(\S+) to (\S+) +\S+ to \S+ +\d+$"
    rows = {(rate, int(chains)): rest for rate, chains, *rest in re.findall(pattern, text, re.MULTILINE)}
    answers = {which: rest[0] for which, rest in rows.items()}
    assert answers[".02", 256] == "yes"
    assert answers[".32", 48] == "no: step size"
    assert answers[".02", 8].startswith("cannot tell: ")
    for _, ratio, low, high in rows.values():
        assert float(low) <= float(ratio) <= float(high)
    # the interval of a "yes" excludes what counts as too much, that of a "no" excludes 1
    assert 1 / 1.25 < float(rows[".02", 256][2]) < float(rows[".02", 256][3]) < 1.25
    assert float(rows[".32", 48][2]) > 1
    assert "η/B invariance of 'loss'" in text


def test_local_learning_coefficient(tmp_path):
    """d/2 where minima are regular, less where they are singular, and the value of quadrature everywhere."""
    text = run_example("local_learning_coefficient", tmp_path)
    pattern = r"^ +(\S.*?)  +(\S+) +(\S+) +(\S+) +(\S+) ± (\S+) +(\S+) ± (\S+) +(\S+) ± (\S+)$"
    rows = {name: rest for name, *rest in re.findall(pattern, text, re.MULTILINE)}
    assert len(rows) == 8
    for name, (half, coefficient, expected, value, error, rescaled, its_error, heat, its) in rows.items():
        known = float(coefficient if expected == "-" else expected)
        # errors below 5e-5 are 0 in the table; for a Gaussian or the limit in place of the law itself 2 %
        slack = 5e-4 if name[0] == "x" or name.endswith("off") else 0.02 * known
        assert abs(float(value) - known) < 5.5 * float(error) + slack, name
        assert abs(float(rescaled) - known) < 5.5 * float(its_error) + slack, name
        assert abs(float(heat) - 1) < 5.5 * float(its) + 5e-4, name
        regular = name in ("x² + y²", "logistic regression")
        assert (abs(float(value) - float(half)) < 5.5 * float(error) + slack) == regular, name


def test_weak_order(tmp_path):
    """Slopes of E x: what is derived for the limit has order two, what is not has order one."""
    text = run_example("weak_order", tmp_path)
    rows = re.findall(
        r"fixed (B|η/B) +(first order|second order, for fixed \S+)   x .* (\S+) ± (\S+)$", text, re.MULTILINE
    )
    slopes = {(held, name): (float(slope), float(error)) for held, name, slope, error in rows}
    assert len(slopes) == 6
    for (held, name), (slope, error) in slopes.items():
        expected = 1 if name == "first order" or (held, name[-2:]) == ("η/B", " B") else 2
        # .15 for the next order at these η; rounding of the table
        assert abs(slope - expected) < 0.15 + 5.5 * error + 0.005, (held, name)


def test_escape_from_a_minimum(tmp_path):
    """Times within their intervals of the exact ones, and only curvature noise exponential in 1/k."""
    text = run_example("escape_from_a_minimum", tmp_path)
    pattern = r"(white|curvature) +\S+ +(\S+) +(\S+) +(\S+) +\S+ +(\S+) +(\S+) to (\S+)$"
    rows = re.findall(pattern, text, re.MULTILINE)
    assert len(rows) == 10
    times = {}
    for noise, flatness, by, steps, ratio, low, high in rows:
        times.setdefault((noise, flatness != "-"), []).append(float(steps))
        # 95 % is two standard errors to either side; splitting knows its own from 16 replicas only
        errors = 8 if by == "splitting" else 5.5
        assert abs(np.log(float(ratio))) < errors * np.log(float(high) / float(low)) / 4, (noise, flatness)
    assert max(times["white", False]) > 1e12
    # over a factor of 4.4 and of 5 in 1/k
    assert max(times["white", True]) < 6 * min(times["white", True])
    assert max(times["curvature", True]) > 1e4 * min(times["curvature", True])
    animation = (tmp_path / "escape_from_a_minimum.gif").read_bytes()
    assert animation[:6] == b"GIF89a"
    assert 20_000 < len(animation) < 300_000


def test_the_sharpest_directions(tmp_path):
    """λ₁ climbs to 2/η with all examples, and steps that are longer along it make it smaller."""
    text = run_example("sharpest_directions", tmp_path)
    assert (tmp_path / "nudged_sgd.png").stat().st_size > 20_000
    peaks = {
        (float(rate), int(size)): float(peak)
        for rate, size, peak in re.findall(r"^ +(0\.\d+) +(\d+) +(\d+\.\d+) +\d+ +\d", text, re.MULTILINE)
    }
    assert len(peaks) == 4
    # gradient descent is above 2/η for a few steps at a time, and below it soon after
    assert 0.8 * 2 / 0.4 < peaks[0.4, 1280] < 1.3 * 2 / 0.4
    assert peaks[0.4, 16] < 0.8 * 2 / 0.4
    assert peaks[0.4, 16] < peaks[0.1, 16]
    along = dict(re.findall(r"^ +(.*\S) +-?\d+\.\d+ +\S+ +(-?\d+\.\d+) +\S+$", text, re.MULTILINE))
    assert float(along["the 5 sharpest"]) > 5 * abs(float(along["as long as along the 5, at random"]))
    ends = dict(re.findall(r"^ +(\S.*\S) +\d\.\d+ +(\d+\.\d+) +0\.\d+$", text, re.MULTILINE))
    assert float(ends["γ = 2"]) < float(ends["SGD"]) < float(ends["nudged, γ = 0.01"])


def test_grow_the_batch(tmp_path):
    """N = 1280, B from 8 to 128: 2880 updates where η decays, 1260 where B grows, and the same accuracy.

    Without either the noise stays 16 times as large; in trials that cost four points.
    """
    text = run_example("grow_the_batch", tmp_path)
    pattern = r"^ +(\S.*\S) +(\d+) +(0\.\d+) +(0\.\d+) +(0\.\d+) +(0\.\d+)$"
    rows = {name: rest for name, *rest in re.findall(pattern, text, re.MULTILINE)}
    updates = {name: int(rest[0]) for name, rest in rows.items()}
    assert updates == {
        "decay η": 2880,
        "grow B": 1260,
        "first grow B, then decay η": 1440,
        "constant η and B": 2880,
    }
    ends = {name: (float(rest[3]), float(rest[4])) for name, rest in rows.items()}
    decayed, error = ends["decay η"]
    for name in ("grow B", "first grow B, then decay η"):
        assert abs(ends[name][0] - decayed) < 5.5 * np.hypot(ends[name][1], error), name
    assert ends["constant η and B"][0] < decayed - 0.01


def test_network_minimum_histograms(tmp_path):
    """SGD has the variance of its exact law, the SDE that of its own; isotropic noise has neither.

    A twelfth for the next order in the temperature, and for Euler's steps (.03 along the sharpest). An error
    from few chains is as small as their variance: it is told in units of that.
    """
    text = run_example("network_minimum_histograms", tmp_path)
    pattern = (
        r"^ +(sharpest|middle|random) \d +\S+ +\S+ +(\S+) ± (\S+) +(\S+) ± (\S+) +(\S+) +(\S+) +"
        r"(\S+) ± (\S+) +(\S+)$"
    )
    rows = re.findall(pattern, text, re.MULTILINE)
    assert len(rows) == 30
    for group, *told in rows:
        sgd, sgd_error, sde, sde_error, finite, isotropic, mean, mean_error, shift = map(float, told)
        assert abs(sgd - 1) < 1 / 12 + 5.5 * sgd_error / sgd, group
        assert abs(sde - 1) < 1 / 12 + 5.5 * sde_error / sde, group
        assert abs(mean - shift) < 0.15 + 5.5 * mean_error, group
        if group == "sharpest":
            assert finite < 0.96
            assert isotropic < 0.05
        else:
            assert finite > 0.98
            assert isotropic > 4
