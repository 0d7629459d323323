"""What notebooks show: well-formed, escaped and small, of every object, whatever it holds, at little cost."""

import dataclasses
import re
import time
import types
from typing import Any

import jax
import jax.numpy as jnp
import made_up_cards
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from shown_html import parsed, texts
from test_printing import EXAMPLES, KEY, PLAIN, WELL, X, cause, cell, diagram, filled, largest, swept

import sde_sgd as ss
import sde_sgd.statistics as st
from sde_sgd._platform import _svg
from sde_sgd._platform._html import Panel
from sde_sgd._platform._shown import few
from sde_sgd.validity._interval import Interval

EVIL = "<script>alert('&')</script>"


def run(**options: Any) -> Any:
    given: dict[str, Any] = {"chains": 6, "steps": 4, "every": 2, "key": KEY, "progress": False}
    process = options.pop("process", ss.SGD(WELL, PLAIN))
    return ss.run(process, **(given | options))


def test_those_that_say_the_most_have_pictures():
    pictured = (ss.Result, ss.SweepResult, ss.validity.Diagnosis, ss.validity.PhaseDiagram)
    for kind in (*pictured, ss.validity.LargestBatch, ss.theory.Density1D, ss.theory.Density2D):
        assert "<svg" in EXAMPLES[kind][0]()._repr_html_(), kind


def test_a_named_tuple_shows_itself_where_its_arrays_cannot_be_seen_too():
    make, _ = EXAMPLES[ss.curvature.Eigenpairs]
    assert re.search(r"vectors 4 arrays.* λ within 1.5 0.25 0.5 0.12", texts(make()))
    seen = []

    def look(pairs: Any) -> Any:
        seen.append(texts(pairs))
        return pairs

    jax.jit(look)(make())
    jax.vmap(look)(jax.tree.map(lambda leaf: leaf[None], make()))
    assert all("traced" in words for words in seen)


def test_what_speaks_against_an_evidence_is_shown():
    sure = EXAMPLES[ss.bayes.Evidence][0]()
    assert "products" not in texts(sure)
    unsure = dataclasses.replace(sure, quadrature_error=2.0)
    assert "may be off by 2 nats, which is not in ±: take more products" in texts(unsure)
    assert "! the quadrature may be off by 2 nats" in str(unsure)
    assert "nats over guessing" in texts(unsure) and "parameters" in texts(unsure)


def evil_sweep() -> Any:
    import xarray as xr

    axes = {EVIL: [EVIL, "b"], "batch_size": [1, 2], "seed": [0, 1]}
    values = xr.DataArray(np.ones((2, 2, 2)), axes, list(axes))
    return ss.SweepResult(xr.Dataset({EVIL: values}, attrs={"process": EVIL}))


def evil_cause() -> Any:
    return ss.validity.Cause(EVIL, "sde", 0.25, 0.1, Interval(0.125, 0.5), EVIL)


EVILS = {
    "data": lambda: ss.data.Dataset(np.ones((3, 2)), np.ones(3), name=EVIL),
    "record": lambda: run(record={EVIL: lambda x: x}, moments={EVIL: lambda x: x}),
    "sweep": evil_sweep,
    "family": lambda: st.holm({EVIL: 0.5}),
    "test": lambda: st.HypothesisTest(
        name=EVIL, null=EVIL, value=1.0, standard_error=1.0, statistic=1.0, p=0.5, n=9, note=EVIL
    ),
    "diagram": lambda: filled(ss.validity.PhaseDiagram, **(vars(diagram()) | {"observable": EVIL})),
    "weak error": lambda: ss.validity.WeakError(
        (EVIL,),
        X[:1],
        X[:1],
        X[:1],
        X[:1],
        n=9,
        dropped=0,
        process=EVIL,
        learning_rate=0.1,
        time=1.0,
        steps=9,
    ),
    "density": lambda: ss.theory.Density1D(np.linspace(-1, 1, 201), np.zeros(201), EVIL),
    "cause": evil_cause,
    "diagnosis": lambda: filled(ss.validity.Diagnosis, problem=WELL, hyper=PLAIN, causes=(evil_cause(),)),
    "fallback": lambda: filled(ss.validity.Diagnosis, problem=WELL, hyper=PLAIN, causes=(EVIL,)),
    "batch": lambda: filled(ss.validity.LargestBatch, **(vars(largest()) | {"bounds": {EVIL: 2.0}})),
    "card": lambda: made_up_cards.card(claim=EVIL),
}


@pytest.mark.parametrize("name", [name for name in EVILS if name != "fallback"])
def test_markup_in_a_label_comes_out_as_text(name):
    thing = EVILS[name]()
    assert not thing._repr_html_().startswith("<pre>")
    assert "<script" not in thing._repr_html_()
    assert "<script>" in texts(thing)


def test_what_cannot_be_shown_prints(monkeypatch):
    monkeypatch.setattr(ss.Hyperparameters, "_panel", lambda self: 1 / 0)
    monkeypatch.setattr(ss.Hyperparameters, "__repr__", lambda self: EVIL)
    assert parsed(PLAIN).tag == "pre"
    assert texts(PLAIN) == EVIL


def test_results_without_a_number_are_shown():
    with pytest.warns(UserWarning, match="6 of 6 chains diverged"):
        diverged = run(
            process=ss.SGD(WELL, ss.Hyperparameters(30.0, 1)), steps=200, every=100, record=["loss"]
        )
    assert diverged.diverged == 6
    assert "6, 6 diverged" in texts(diverged)
    nan = run(
        record={"nan": lambda x: x * jnp.nan, "flag": lambda x: x > 0, "two": lambda x: jnp.stack([x, x])}
    )
    assert "no number" in texts(nan)
    for one in (
        run(chains=1),
        run(chains=1, steps=1, every=1, record=["loss"]),
        run(record=["loss"], every=4),
    ):
        assert parsed(one).tag == "div"
    for constant in (np.ones(9), np.full(9, np.nan), np.full(9, np.inf), np.zeros(0), [0.0], [1e300, -1e300]):
        assert constant is None or not (svg := _svg.histogram(constant, "x")) or parsed(svg) is not None


def test_sweeps_and_diagnoses_without_a_number_are_shown():
    lost = swept().dataset * np.nan
    assert parsed(ss.SweepResult(lost)).tag == "div"
    for part in (
        {"seed": 0},
        {"learning_rate": 0},
        {"learning_rate": [0]},
        {"batch_size": 0, "learning_rate": 0},
    ):
        assert parsed(ss.SweepResult(swept().dataset.isel(part))).tag == "div"
    endless = ss.validity.Cause("skewness", "sde", float("nan"), 0.1, Interval(0.0, float("inf")), "because")
    found = filled(ss.validity.Diagnosis, problem=WELL, hyper=PLAIN, causes=(cause(), endless))
    assert "step size" in texts(found)
    empty = vars(diagram()) | {"deviation": cell(np.full((2, 2), np.nan))}
    assert parsed(filled(ss.validity.PhaseDiagram, **empty)).tag == "div"
    anything = vars(largest()) | {"bounds": {"stability": float("inf")}}
    assert parsed(filled(ss.validity.LargestBatch, **anything)).tag == "div"


def test_results_that_were_read_show_what_they_are_of(tmp_path):
    run(record=["loss"]).save(tmp_path / "run.nc")
    assert "SGD on DoubleWell" in texts(ss.read_run(tmp_path / "run.nc"))


@pytest.mark.parametrize("count", [1, 7, 40, 1001])
def test_a_few_chains_are_those_at_even_places(count):
    values = np.arange(2 * count, dtype=np.float32)
    sharding = NamedSharding(Mesh(np.array(jax.devices()[:2]), ("chains",)), PartitionSpec("chains"))
    for array in (values, jnp.asarray(values), jax.device_put(values, sharding)):
        places, entries = few(array, 20)
        assert len(places) <= 21
        assert np.array_equal(values[places], entries)
        assert len(set(np.diff(places))) <= 1
        assert places[0] == 0


def test_a_huge_ensemble_is_shown_at_once():
    """Of four million chains some thousand are looked at."""
    small = run(record=["loss"])
    chains = 4_000_000
    theta = jnp.ones(chains)
    state = types.SimpleNamespace(theta=theta)
    huge = filled(ss.Result, **{**vars(small), "state": state, "diverged_at": np.full(chains, -1, np.int32)})
    object.__setattr__(huge, "record", {"loss": np.ones((3, chains), np.float32)})
    seconds = []
    for _ in range(5):
        before = time.perf_counter()
        assert "20000 of 4000000 chains" in huge._repr_html_()
        seconds.append(time.perf_counter() - before)
    assert min(seconds) < 0.05


def test_a_long_table_is_cut():
    shown = texts(Panel("A", columns=("a",), table=[["x"]] * 99, rows={"long": "y" * 5000}).html())
    assert "… 99 in all" in shown
    assert shown.count("x") == 40
    assert shown.count("y") < 400
    assert "<svg" not in Panel("A", pictures=("<svg>" + "x" * 70_000 + "</svg>",)).html()


def test_a_histogram_is_drawn_to_scale():
    (path,) = re.findall(
        r'd="([^"]+)Z" fill="#0072B2"', _svg.histogram(np.repeat([0.0, 1.0], [100, 300]), "x", 2)
    )
    points = np.array([[float(one) for one in pair.split()] for pair in re.split("[ML]", path)[1:]])
    floor = points[0, 1]
    assert (floor - points[3, 1]) / (floor - points[1, 1]) == pytest.approx(3, rel=0.01)


def test_an_interval_lies_where_it_should():
    svg = _svg.intervals(
        [_svg.Interval("a", 0.0, 0.5, 1.0), _svg.Interval("b", 0.0, 2.0, np.inf)], "t", limit=1.0
    )
    first, second = (float(x) for x in re.findall(r'cx="([\d.]+)"', svg))
    (limit,) = (float(x) for x in re.findall(r'd="M([\d.]+) \d+V', svg))
    left = float(re.findall(r'd="M([\d.]+) \d+H', svg)[0])
    assert (first - left) / (limit - left) == pytest.approx(0.5, abs=0.01)
    assert (second - left) / (limit - left) == pytest.approx(2, abs=0.01)
    assert svg.count("→") == 1


def test_a_heat_map_goes_from_dark_to_light():
    svg = _svg.heat_map([[1.0, 2.0], [3.0, np.nan]], ["a", "b"], ["c", "d"], ("rows", "columns"), "t")
    place = dict(re.findall(r'<path fill="([^"]+)" d="([^"]+)"', svg))
    corner = {colour: tuple(map(float, path[1:].split("h")[0].split())) for colour, path in place.items()}
    dark, light, unknown = corner["#00224e"], corner["#fee838"], corner["#999999"]
    assert dark[0] == light[0] < unknown[0]  # the first column
    assert light[1] == unknown[1] < dark[1]  # the second row is above the first
    assert ">1<" in svg and ">nan<" in svg


def test_curves_break_where_there_is_no_number_and_take_logarithms():
    x = np.arange(5.0)
    broken = _svg.curves(x, {"a": _svg.Curve(np.array([1.0, 2.0, np.nan, 3.0, 4.0]))}, "x", "y")
    (path,) = re.findall(r'd="([^"]+)" fill="none" stroke="#', broken)
    assert path.count("M") == 2
    straight = _svg.curves(x, {"a": _svg.Curve(10.0**x)}, "x", "y")
    (path,) = re.findall(r'd="([^"]+)" fill="none" stroke="#', straight)
    heights = [float(pair.split()[1]) for pair in re.split("[ML]", path)[1:]]
    assert np.diff(heights) == pytest.approx(np.full(4, np.diff(heights)[0]), abs=0.2)


def test_data_show_their_first_images():
    images = np.zeros((12, 8, 8), np.float32)
    images[0, 0, 0] = 1.0
    shown = ss.data.Dataset(images, np.arange(12) % 3, name="squares")._repr_html_()
    assert "data:image/png;base64," in shown and parsed(shown) is not None
    assert "4, 4, 4" in shown
    import base64
    import io

    from matplotlib import image

    code = re.findall(r"base64,([^\"]+)", shown)[0]
    pixels = image.imread(io.BytesIO(base64.b64decode(code)))
    assert pixels.shape[:2] == (8, 53)  # of 12 every second, and a line between each two
    pixels = pixels.reshape(8, 53, -1)[..., 0]
    assert pixels[0, 0] == 1.0 and (pixels[:, 8::9] == np.float32(128 / 255)).all()
    assert pixels.sum() == pytest.approx(1 + 8 * 5 * 128 / 255)


def test_cards_and_outcomes_show_themselves():
    outcome = made_up_cards.outcome(True, False)
    assert "partly. It came out so." in texts(outcome)
    assert "data:image/png" in outcome._repr_html_()
    assert texts(outcome).count("1.50 ± 0.10") == 3
    assert "control, must fail" in str(outcome) and "partly" in repr(outcome)
    card = made_up_cards.card()
    assert "a claim" in texts(card) and "a claim" in repr(card) and "some <text>" in str(card)
    large, axes = ss.plot.figure(width=12, height=9)
    axes.imshow(np.random.default_rng(0).random((900, 1200, 3)))
    heavy = made_up_cards.Outcome(outcome.measurements, outcome.control, EVIL, large)
    assert parsed(heavy).tag == "div"
