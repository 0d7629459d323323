"""The bar: where it is seen, and what it says."""

import pytest

import sde_sgd as ss
from sde_sgd._platform._progress import Progress


def test_a_bar_says_how_fast_and_how_long_still(key, capsys):
    process = ss.SGD(ss.problems.DoubleWell(), ss.Hyperparameters(0.05))
    ss.run(process, chains=10, steps=500, key=key, progress=True)
    text = capsys.readouterr().err
    assert "SGD: 100%" in text
    assert "5.00k/5.00k [" in text
    assert "chain-step/s" in text
    bar = Progress(100, "work", True)
    bar.advance(10)
    bar.close()
    text = capsys.readouterr().err
    assert "10.0/100" in text
    assert "<" in text and "?" not in text.rpartition("[")[2]  # the time left is known


def test_a_resumed_bar_starts_where_the_last_one_ended(capsys):
    """What was done before is shown as done, and does not make the rate look high."""
    bar = Progress(1000, "work", True)
    bar.skip(900)
    bar._started -= 10.0
    bar.advance(20)
    bar.note("3 diverged")
    bar.advance(30)
    bar.close()
    text = capsys.readouterr().err
    assert "92%" in text
    assert "950/1.00k" in text.rpartition("\r")[2]
    rate = float(text.rpartition(", ")[0].rpartition(" ")[2].rpartition(",")[2].removesuffix("step/s") or 0)
    assert 2 < rate <= 5


@pytest.mark.parametrize("progress", [None, False])
def test_pipes_get_no_bar(progress, key, capsys, monkeypatch):
    process = ss.SGD(ss.problems.DoubleWell(), ss.Hyperparameters(0.05))
    options = {"chains": 10, "steps": 500, "key": key}
    ss.run(process, **options, progress=progress)
    assert capsys.readouterr().err == ""
    # the twin: on a terminal, and with no time to wait, there is one
    monkeypatch.setattr("sde_sgd._platform._progress._somebody_looks", lambda: True)
    monkeypatch.setattr("sde_sgd._platform._progress.time.monotonic", iter(range(10**6)).__next__)
    ss.run(process, **options, progress=progress)
    assert ("SGD" in capsys.readouterr().err) == (progress is None)
