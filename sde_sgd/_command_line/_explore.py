"""Starting the explorer."""

import importlib.util
import subprocess
import sys
from pathlib import Path

from sde_sgd._command_line._features import FEATURES


def explore(port: int | None = None, *, headless: bool = False) -> int:
    """Serve the explorer until it is stopped.

    Args:
        port: of the server, or None for one that is free.
        headless: open no browser.

    Returns:
        The exit code: 1 if the explorer or a package that it needs is not there.
    """
    app = app_path()
    if app is None:
        return _refuse("this installation has no explorer: install sde_sgd anew, from a copy that has it")
    lacks = FEATURES["explore"].lacks()
    if "marimo" in lacks:
        return _refuse(f"the explorer needs {' and '.join(lacks)}: {FEATURES['explore'].advice()}")
    command = [sys.executable, "-m", "marimo", "run", str(app)]
    command += [] if port is None else ["--port", str(port)]
    command += ["--headless"] if headless else []
    try:
        return subprocess.run(command, check=False).returncode  # noqa: S603 - our own file, in marimo
    except KeyboardInterrupt:  # how a server is stopped
        return 0


def app_path() -> Path | None:
    """The file of the explorer, or None."""
    found = importlib.util.find_spec("sde_sgd.explorer")
    places = list(found.submodule_search_locations or ()) if found else []
    files = [Path(place) / "app.py" for place in places]
    return next((file for file in files if file.is_file()), None)


def _refuse(why: str) -> int:
    sys.stderr.write(f"{why}.\n")
    return 1
