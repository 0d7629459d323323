"""The explorer's picture, page and shells: they show what the pure function finds, and nothing else."""

import base64
import dataclasses
import importlib
import re
import socket
import subprocess
import sys

import jax
import matplotlib as mpl
import numpy as np
import pytest
from helpers import refused

import sde_sgd as ss
from sde_sgd import explorer
from sde_sgd._command_line import _main
from sde_sgd.explorer import DigitsSettings, WellSettings, _picture, _start

KEY = jax.random.key(0)


@pytest.fixture(scope="module")
def numbers():
    return explorer.simulate(WellSettings(), key=KEY)


@pytest.fixture(scope="module")
def of_digits():
    return explorer.simulate(DigitsSettings(), key=KEY)


def drawn_in(text):
    """The SVG inside a page."""
    found = re.search(r'src="data:image/svg\+xml;base64,([^"]+)"', text)
    return base64.b64decode(found.group(1)).decode()


def test_the_picture_shows_the_histograms_and_the_laws(numbers):
    made = explorer.picture(numbers)
    top, bottom = made.axes
    names = [text.get_text() for text in top.get_legend().get_texts()]
    assert names == ["SGD", "SDE", "Gibbs exp(−2L/T)", "O(η) law", "exact law of SGD"]
    line = next(line for line in top.lines if line.get_label().startswith("Gibbs"))
    x, p = line.get_data()
    np.testing.assert_allclose(p, numbers.laws["Gibbs"].pdf(x), rtol=1e-12)
    areas = [
        float(np.sum(step.get_data().values * np.diff(step.get_data().edges))) for step in top.patches if step
    ]
    assert np.all(np.abs(np.array(areas) - 1) < 0.02)
    assert "T = 0.2" in top.get_title()
    assert bottom.get_xlabel() == "x"
    low, high = bottom.get_ylim()
    assert low == -high < 0


@pytest.mark.parametrize(
    ("asked", "title"),
    [
        ({"tilt": 0.3}, "double well, tilt 0.3: η = 0.1, B = 1, σ² = 4, T = 0.4"),
        ({"noise_law": "exponential"}, "double well: η = 0.1, B = 1, σ² = 4, exponential, T = 0.4"),
        # batches of a data set have no law of fresh noise
        (
            {"noise_law": "exponential", "sampling": "subset"},
            "double well: η = 0.1, B = 1, σ² = 4, subset, T = 0.4",
        ),
    ],
)
def test_a_title_tells_tilt_and_noise(asked, title):
    found = explorer.simulate(WellSettings(batch_size=1, **asked), key=KEY)
    top = explorer.picture(found).axes[0]
    assert top.get_title() == title
    # the legend above has room
    assert max(np.max(step.get_data().values) for step in top.patches) * 1.4 < top.get_ylim()[1]


def test_a_figure_drawn_into_again_is_the_one_drawn_anew(numbers):
    other = explorer.simulate(WellSettings(learning_rate=0.05, tilt=0.1), key=KEY)
    used = explorer.picture(other)
    assert explorer.picture(numbers, onto=used) is used
    with mpl.rc_context({"svg.hashsalt": "same"}):
        assert _picture.svg(used) == _picture.svg(explorer.picture(numbers))


def test_digits_are_drawn_along_four_directions(of_digits):
    made = explorer.picture(of_digits)
    titles = [ax.get_title() for ax in made.axes]
    assert [title.partition(" direction")[0] for title in titles] == [
        "sharpest",
        "second sharpest",
        "random",
        "other random",
    ]
    assert len(made.legends) == 1
    explorer.picture(of_digits, onto=made)
    assert len(made.legends) == 1
    assert all(len(ax.lines) == 2 for ax in made.axes)


def test_what_is_no_picture_is_refused(numbers, of_digits):
    with refused("numbers must be what explorer.simulate returns"):
        explorer.picture(3)
    with refused("onto must be a figure that picture returned for such numbers"):
        explorer.picture(numbers, onto=explorer.picture(of_digits))


def test_the_page_has_the_picture_and_its_numbers(numbers):
    page = explorer.html(WellSettings(), key=KEY)
    assert drawn_in(page).startswith("<svg")
    found = numbers.distances["SGD", "Gibbs"]
    assert f"{found.ks:.4f} ± {found.ks_error:.4f}" in page
    assert f"{found.w1:.4f} ± {found.w1_error:.4f}" in page
    # of two laws that are known there is no error
    known = numbers.distances["Gibbs", "exact law of SGD"]
    assert f">{known.ks:.4f}<" in page


def test_a_page_without_a_picture_says_why():
    page = explorer.html(DigitsSettings(learning_rate=2.0), key=KEY)
    assert "SGD is unstable" in page
    assert "&lt; 2 (1 + momentum)" in page  # escaped
    assert "<img" not in page


def test_widgets_draw_anew_when_one_is_moved():
    tabs = explorer.widgets(key=KEY)
    assert list(tabs.titles) == ["wells", "digits"]
    wells, digits = tabs.children
    controls = {one.description: one for one in wells.children[0].children}
    shown = wells.children[1]
    first = shown.value
    assert "<img" in first
    controls["learning rate η"].value = 0.2
    assert drawn_in(shown.value) != drawn_in(first)
    assert "temperature=0.4" in shown.value
    controls["learning rate η"].value = 0.1
    assert re.sub(r"base64,[^\"]*", "", shown.value) == re.sub(r"base64,[^\"]*", "", first)
    # digits are run when they are looked at
    assert digits.children[1].value == ""
    tabs.selected_index = 1
    assert "<img" in digits.children[1].value


def test_the_app_runs_as_an_ordinary_file():
    app = importlib.import_module("sde_sgd.explorer._app").app
    outputs, definitions = app.run()
    assert "<img" in outputs[-1].text
    assert outputs[-1].text.count("<marimo-slider") == 7
    assert definitions["moved"].value == {
        field.name: field.default for field in dataclasses.fields(WellSettings)
    }


@pytest.mark.parametrize(
    ("package", "call"),
    [("ipywidgets", explorer.widgets), ("marimo", explorer.start)],
)
def test_a_shell_without_its_package_says_what_to_install(monkeypatch, package, call):
    monkeypatch.setitem(sys.modules, package, None)
    with refused(re.escape("pip install 'sde_sgd[explore]'"), ImportError):
        call()


def test_it_is_loaded_late_and_without_its_shells():
    program = (
        "import sys, sde_sgd; assert 'explorer' in dir(sde_sgd); "
        "assert 'sde_sgd.explorer' not in sys.modules; "
        "sde_sgd.explorer.simulate; "
        "assert not {'matplotlib', 'ipywidgets', 'marimo', 'sklearn'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_start_serves_the_app(monkeypatch):
    called = []
    monkeypatch.setattr(
        _start.subprocess,
        "run",
        lambda command, **_: called.append(command) or subprocess.CompletedProcess([], 3),
    )
    assert ss.explorer.start(port=4321, headless=True) == 3
    assert called[0][1:4] == ["-m", "marimo", "run"]
    assert called[0][4].endswith("_app.py")
    assert called[0][5:] == ["--port", "4321", "--headless"]
    for port in (0, 70_000, "here"):
        with refused("port must be an integer"):
            ss.explorer.start(port=port)


def test_a_port_that_another_program_has_is_refused(monkeypatch, capsys):
    monkeypatch.setattr(_start.subprocess, "run", lambda *_, **__: subprocess.CompletedProcess([], 0))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with refused(rf"port must be one that is free, got {port} \(.*\). Leave it out to get one."):
            ss.explorer.start(port=port)
        assert _main.main(["explore", "--port", str(port)]) == 1
        assert f"got {port}" in capsys.readouterr().err
    assert ss.explorer.start(port=port) == 0
