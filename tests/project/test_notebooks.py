"""The notebooks are text without outputs, name what exists, and run from top to bottom."""

import ast
import importlib.util
import inspect
import re
from pathlib import Path

import pytest

import sde_sgd as ss

ROOT = Path(__file__).resolve().parents[2]
NAMES = {
    "sgd_is_an_sde",
    "eta_over_batch",
    "your_own_model",
    "curvature_and_sharpness",
    "escape",
    "sweep_on_an_accelerator",
    "three_factors",
    "bayesian_sgd",
    "dont_decay",
    "diffusion_theory",
    "sharpest_directions",
}
MOST_CELLS = 12
ELSEWHERE = re.compile(r"://|colab|kaggle|(?<![\w.])/(home|root|work|tmp|usr|content)/")
FRONT = """---
file_format: mystnb
kernelspec:
  display_name: Python 3
  language: python
  name: python3
---
"""


def _executor():
    """`docs/execute_notebooks.py`, which is a script and in no package."""
    spec = importlib.util.spec_from_file_location("execute_notebooks", ROOT / "docs" / "execute_notebooks.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


EXECUTOR = _executor()
NOTEBOOKS = pytest.mark.parametrize("notebook", EXECUTOR.sources(), ids=lambda path: path.stem)


def _tree(cell):
    """The syntax of a cell; what begins with % is IPython's."""
    return ast.parse(re.sub(r"(?m)^%.*$", "", cell))


def _chain(node):
    """a.b.c as a list of names, or nothing."""
    names = []
    while isinstance(node, ast.Attribute):
        names.append(node.attr)
        node = node.value
    return [node.id, *names[::-1]] if isinstance(node, ast.Name) else []


def _missing(names):
    """The part of ss.a.b that does not exist, as far as it names modules and classes."""
    here = ss
    for number, name in enumerate(names):
        if not (inspect.ismodule(here) or inspect.isclass(here)):
            return ""
        if not hasattr(here, name) and name not in getattr(here, "__annotations__", {}):
            return ".".join(["ss", *names[: number + 1]])
        here = getattr(here, name, None)
    return ""


def test_all_notebooks_are_there():
    assert {path.stem for path in EXECUTOR.sources()} == NAMES


@NOTEBOOKS
def test_a_notebook_is_text_that_parses(notebook):
    text = notebook.read_text(encoding="utf-8")
    assert text.startswith(FRONT)
    assert "# " in text.removeprefix(FRONT).lstrip().splitlines()[0]
    cells = EXECUTOR.code_cells(text)
    assert len(cells) == text.count("{code-cell} ipython3") <= MOST_CELLS
    for cell in cells:
        _tree(cell)
    assert any("assert " in cell for cell in cells)
    assert "## What to try next" in text
    assert "data:image" not in text


@NOTEBOOKS
def test_the_first_cell_installs_nothing_as_it_stands(notebook):
    first, second, *_ = EXECUTOR.code_cells(notebook.read_text(encoding="utf-8"))
    assert '# %pip install ".[cuda]"' in first
    assert '# %pip install ".[tpu]"' in first
    assert all(line.startswith("#") for line in first.splitlines())
    assert second.startswith("%matplotlib inline\n")


@NOTEBOOKS
def test_a_notebook_names_no_host_and_no_place_of_a_machine(notebook):
    assert not ELSEWHERE.findall(notebook.read_text(encoding="utf-8"))


@NOTEBOOKS
def test_every_name_of_the_package_exists(notebook):
    text = notebook.read_text(encoding="utf-8")
    chains = [chain.split(".")[1:] for chain in re.findall(r"`(ss(?:\.\w+)+)", text)]
    nodes = [node for cell in EXECUTOR.code_cells(text) for node in ast.walk(_tree(cell))]
    found = [_chain(node) for node in nodes if isinstance(node, ast.Attribute)]
    chains += [names[1:] for names in found if names[:1] == ["ss"]]
    assert len(chains) > 5
    assert [wrong for chain in chains if (wrong := _missing(chain))] == []


def test_names_that_do_not_exist_are_seen():
    assert _missing(["theory", "gibs"]) == "ss.theory.gibs"
    assert _missing(["Langevn"]) == "ss.Langevn"
    assert _missing(["theory", "gibbs"]) == ""


def test_the_key_is_that_of_text_and_sources(tmp_path, monkeypatch):
    notebook = tmp_path / "a.md"
    notebook.write_text(FRONT + "one")
    first = EXECUTOR.content_key(notebook)
    assert EXECUTOR.content_key(notebook) == first
    notebook.write_text(FRONT + "two")
    second = EXECUTOR.content_key(notebook)
    assert second != first
    monkeypatch.setattr(EXECUTOR, "_version", lambda package: "0.0")
    assert EXECUTOR.content_key(notebook) != second
    notebook.write_text(FRONT + "two, from paper_checks")
    third = EXECUTOR.content_key(notebook)
    for folder in ("sde_sgd", "paper_checks"):
        (tmp_path / folder / "results").mkdir(parents=True)
    (tmp_path / "paper_checks" / "results" / "report.json").write_text("{}")
    monkeypatch.setattr(EXECUTOR, "__file__", str(tmp_path / "docs.py"))
    (tmp_path / "docs.py").touch()
    monkeypatch.setattr(EXECUTOR, "ROOT", tmp_path)
    elsewhere = EXECUTOR.content_key(notebook)
    assert elsewhere != third
    (tmp_path / "sde_sgd" / "new.py").write_text("x = 1")
    new = EXECUTOR.content_key(notebook)
    assert new != elsewhere
    monkeypatch.setenv("JAX_ENABLE_X64", "a value of no other test")
    assert EXECUTOR.content_key(notebook) != new
    assert {"scikit-learn", "mlxtend"} <= set(EXECUTOR.PACKAGES)


def _needs_jupyter():
    for package in ("jupytext", "nbclient", "ipykernel"):
        pytest.importorskip(package)


@pytest.mark.script
@NOTEBOOKS
def test_a_notebook_runs_from_top_to_bottom(notebook):
    _needs_jupyter()
    import nbformat

    # the one of this content that was executed for the pages will do
    target, _, _ = EXECUTOR.execute(notebook)
    book = nbformat.read(target, as_version=4)
    cells = [cell for cell in book.cells if cell.cell_type == "code"]
    outputs = [output for cell in cells for output in cell.outputs]
    assert all(cell.execution_count for cell in cells)
    assert not any(output.get("name") == "stderr" or output.output_type == "error" for output in outputs)
    assert sum("image/png" in output.get("data", {}) for output in outputs) >= 1


@pytest.mark.script
def test_what_fails_or_warns_is_noticed_and_what_ran_is_not_run_again(tmp_path, monkeypatch):
    _needs_jupyter()
    monkeypatch.setattr(EXECUTOR, "CACHE", tmp_path / "cache")
    notebook = tmp_path / "a.md"

    def written(code):
        notebook.write_text(f"{FRONT}\n# A\n\n```{{code-cell}} ipython3\n{code}\n```\n")
        return notebook

    with pytest.raises(EXECUTOR.NotebookError, match="AssertionError"):
        EXECUTOR.execute(written("assert 1 == 2"))
    with pytest.raises(EXECUTOR.NotebookError, match="too hot"):
        EXECUTOR.execute(written("import warnings\nwarnings.warn('too hot')"))
    assert not (tmp_path / "cache").exists()
    target, _, now = EXECUTOR.execute(written("print(6 * 7)"))
    assert now
    assert "42" in target.read_text()
    assert EXECUTOR.execute(notebook)[2] is False
    assert EXECUTOR.execute(written("print(6 * 8)"))[2] is True
