"""Execute the notebooks of `examples/notebooks`, each once for one content.

    python docs/execute_notebooks.py [--out DIR] [NAMES ...]

A notebook is kept as text and without outputs. Here each is executed from top to bottom in a process of
its own, two at a time at most, and written with its outputs as `.cache/notebooks/NAME.ipynb`, under a
key: a digest of its text, of all sources that it can reach and of versions. One that lies there under
the same key is not executed again, so that tests and pages share the work.
"""

import argparse
import hashlib
import os
import platform
import re
import shutil
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SOURCES = ROOT / "examples" / "notebooks"
CACHE = ROOT / ".cache" / "notebooks"
AT_ONCE = 2
SECONDS_A_CELL = 300
PACKAGES = (
    "jax",
    "jaxlib",
    "numpy",
    "scipy",
    "matplotlib",
    "xarray",
    "diffrax",
    "optax",
    "equinox",
    "flax",
    "dm-haiku",
    "mlxtend",
    "scikit-learn",
)
CODE_CELL = re.compile(r"^```\{code-cell\}[^\n]*\n(.*?)^```$", re.DOTALL | re.MULTILINE)
WIDGET = "application/vnd.jupyter.widget-view+json"
COLOUR = re.compile(r"\x1b\[[0-9;]*m")
CELL_OPTION = re.compile(r"\A(?::[\w-]+:[^\n]*\n)*")


class NotebookError(RuntimeError):
    """A notebook did not run to its end, or wrote to the stream of errors."""


def sources() -> list[Path]:
    """All notebooks, in the order of their names."""
    return sorted(SOURCES.glob("*.md"))


def code_cells(text: str) -> list[str]:
    """The code of each code cell of a notebook, without the options of the cell."""
    return [CELL_OPTION.sub("", cell) for cell in CODE_CELL.findall(text)]


def content_key(notebook: Path) -> str:
    """A digest of what sets the outputs: the text of a notebook, the sources it can reach, versions."""
    text = notebook.read_text(encoding="utf-8")
    files = [Path(__file__), *sorted((ROOT / "sde_sgd").rglob("*.py"))]
    if "paper_checks" in text:
        files += sorted((ROOT / "paper_checks").rglob("*.py"))
        files += [ROOT / "paper_checks" / "results" / "report.json"]
    digest = hashlib.sha256(text.encode())
    for path in files:
        digest.update(f"\0{path.relative_to(ROOT).as_posix()}\0".encode())
        digest.update(path.read_bytes())
    for package in PACKAGES:
        digest.update(f"\0{package} {_version(package)}".encode())
    for name in ("JAX_ENABLE_X64", "JAX_DEFAULT_MATMUL_PRECISION"):
        # a kernel inherits them
        digest.update(f"\0{name}={os.environ.get(name, '')}".encode())
    digest.update(f"\0python {platform.python_version()}".encode())
    return digest.hexdigest()


def execute(notebook: Path) -> tuple[Path, float, bool]:
    """Execute one notebook, unless that has been done.

    Args:
        notebook: its text, a file of `SOURCES`.

    Returns:
        The executed notebook in `CACHE`, the seconds that this took, and whether it was done now.

    Raises:
        NotebookError: if a cell fails, or if anything is written to the stream of errors, such as a warning.
    """
    import jupytext
    import nbformat

    key = content_key(notebook)
    target = CACHE / f"{notebook.stem}.ipynb"
    if target.exists():
        told = nbformat.read(target, as_version=4).metadata.get("executed", {})
        if told.get("key") == key:
            return target, float(told["seconds"]), False
    book = jupytext.read(notebook)
    started = time.perf_counter()
    _run(book, notebook)
    seconds = time.perf_counter() - started
    book.metadata["executed"] = {"key": key, "seconds": round(seconds, 1)}
    CACHE.mkdir(parents=True, exist_ok=True)
    # another process may be reading the old one: it is replaced whole
    half = target.with_suffix(f".{os.getpid()}")
    nbformat.write(book, half)
    half.replace(target)
    return target, seconds, True


def _run(book, notebook: Path) -> None:
    """Execute in place, in a process that sees this checkout and no settings of the user's Jupyter."""
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError

    with tempfile.TemporaryDirectory() as settings:
        environment = os.environ | {
            "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]),
            "IPYTHONDIR": settings,
            # the backend of the caller, often one without windows, would show no figures
            "MPLBACKEND": "module://matplotlib_inline.backend_inline",
        }
        # devices of the caller's process are not those of a reader
        environment.pop("XLA_FLAGS", None)
        client = NotebookClient(
            book,
            timeout=SECONDS_A_CELL,
            kernel_name="python3",
            record_timing=False,
            # it warns that it listens on this machine's own ports
            extra_arguments=["--log-level=ERROR"],
            resources={"metadata": {"path": str(notebook.parent)}},
        )
        try:
            client.execute(env=environment)
        except CellExecutionError as error:
            raise NotebookError(f"{notebook.name}: {COLOUR.sub('', str(error))}") from error
    book.metadata.pop("widgets", None)
    for cell in book.cells:
        for output in cell.get("outputs", []):
            if output.get("name") == "stderr":
                raise NotebookError(
                    f"{notebook.name} wrote to the stream of errors:\n{output['text']}\nin\n{cell.source}"
                )
        if "outputs" in cell:
            cell.outputs = _tidy(cell.outputs)


def _tidy(outputs: list) -> list:
    """Without progress bars, which are of no use once full; what was printed between them in one piece."""
    kept: list = []
    for output in outputs:
        if WIDGET in output.get("data", {}):
            continue
        if kept and output.output_type == "stream" == kept[-1].output_type:
            kept[-1].text += output.text
        else:
            kept.append(output)
    return kept


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "absent"


def main() -> int:
    """Execute what has changed, say how long each took, and where the executed ones are."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", help="of notebooks, without .md; all by default")
    parser.add_argument("--out", type=Path, help="copy the executed notebooks there, too")
    args = parser.parse_args()
    known = {path.stem: path for path in sources()}
    if unknown := sorted(set(args.names) - set(known)):
        parser.error(f"no notebook {', '.join(unknown)}; there are {', '.join(known)}")
    chosen = [known[name] for name in dict.fromkeys(args.names or known)]

    def one(path: Path) -> str | None:
        try:
            target, seconds, now = execute(path)
        except NotebookError as error:
            return str(error)
        if args.out is not None:
            args.out.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(target, args.out / target.name)
        print(f"{path.stem}: {seconds:.1f} s{'' if now else ', executed before'}", flush=True)
        return None

    with ThreadPoolExecutor(AT_ONCE) as pool:
        failures = [failure for failure in pool.map(one, chosen) if failure is not None]
    for failure in failures:
        print(failure, file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
