"""The examples of docstrings say what comes out."""

import doctest
import importlib
import importlib.util
import pkgutil
from pathlib import Path

import pytest

import sde_sgd

MODULES = [one.name for one in pkgutil.walk_packages(sde_sgd.__path__, "sde_sgd.")]
WITH_EXAMPLES = [
    name
    for name in MODULES
    if ">>>" in Path(importlib.util.find_spec(name).origin).read_text(encoding="utf-8")
]
# what people call most shows how
SHOWN = ("hyperparameters", "schedules", "simulation._run", "simulation._sweep", "theory._gibbs")


def failures(name):
    module = importlib.import_module(name)
    said, runner = [], doctest.DocTestRunner()
    for test in doctest.DocTestFinder().find(module, name):
        runner.run(test, out=said.append)
    assert runner.tries > 0
    return "".join(said)


@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_the_examples_of_docstrings_run(name):
    assert failures(name) == ""


def test_the_functions_used_most_have_examples():
    assert {f"sde_sgd.{name}" for name in SHOWN} <= set(WITH_EXAMPLES)
    assert {"sde_sgd.statistics._compare", "sde_sgd.curvature._eigenpairs"} <= set(WITH_EXAMPLES)


def test_an_example_that_is_wrong_is_noticed(tmp_path, monkeypatch):
    (tmp_path / "wrong_example.py").write_text('"""One.\n\n>>> 1 + 1\n3\n"""\n')
    monkeypatch.syspath_prepend(tmp_path)
    assert "Expected:\n    3" in failures("wrong_example")
