"""The explorer in a browser."""

import socket
import subprocess
import sys
from pathlib import Path

from sde_sgd import _checks
from sde_sgd.explorer._need import need_shell

APP = Path(__file__).with_name("_app.py")


def start(*, port: int | None = None, headless: bool = False) -> int:
    """Serve the explorer on this machine and open it in the browser, until Ctrl-C.

    Args:
        port: where, http://localhost:port; by default one that is free.
        headless: open no browser.

    Returns:
        The exit status of the server.

    Raises:
        ImportError: without marimo.
        ValueError: for a port that is none, or that another program has.
    """
    need_shell("marimo", "explorer.start")
    headless = _checks.flag("headless", headless)
    command = [sys.executable, "-m", "marimo", "run", str(APP)]
    if port is not None:
        command += ["--port", str(_free(_checks.integer("port", port, at_least=1, at_most=65535)))]
    if headless:
        command.append("--headless")
    try:
        return subprocess.run(command, check=False).returncode  # noqa: S603 - a program and arguments of our own
    except KeyboardInterrupt:
        return 0


def _free(port: int) -> int:
    with socket.socket() as tried:
        # one that a server has just left is free
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            tried.bind(("127.0.0.1", port))
        except OSError as error:
            raise ValueError(
                f"port must be one that is free, got {port} ({error.strerror}). Leave it out to get one."
            ) from error
    return port
