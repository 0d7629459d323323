"""The commands, their options and exit codes."""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from importlib.metadata import version

from sde_sgd import explorer
from sde_sgd._command_line._demo import demo
from sde_sgd._command_line._doctor import examined

_EXITS = (
    "Exit codes: 0 all is well; 1 something must be mended, a package is missing, or the demo came out "
    "otherwise; 2 wrong usage, or the output cannot be written; 130 interrupted; 141 nobody reads the output."
)
_INTERRUPTED, _UNREAD = 130, 141  # as shells have them
# with these a KS distance of .07 to Gibbs would be noticed, with eight one of .7
_FEWEST_CHAINS = 1_000
# of these one run in 400 is told from Gibbs by its finite η, of 50,000 one in 70, of a million each
_MOST_CHAINS = 20_000


def main(arguments: Sequence[str]) -> int:
    """Run a command.

    Args:
        arguments: what follows `python -m sde_sgd`.

    Returns:
        The exit code.

    Raises:
        SystemExit: with the exit code, for wrong usage, help, or output that cannot be written.
    """
    parser = _parser()
    try:
        asked = parser.parse_args(arguments)
    except SystemExit as ended:
        if not ended.code:
            _say("")  # of help that nobody reads
        raise
    if asked.command is None:
        parser.exit(2, parser.format_help())
    try:
        if asked.command == "doctor":
            return _doctor(as_json=asked.json)
        if asked.command == "demo":
            return _demo(asked)
        return _explore(asked)
    except KeyboardInterrupt:
        return _INTERRUPTED


def _doctor(*, as_json: bool) -> int:
    found = examined()
    _say((json.dumps(found.content(), indent=2) if as_json else str(found)) + "\n")
    return 0 if found.well else 1


def _demo(asked: argparse.Namespace) -> int:
    try:
        found = demo(asked.out, chains=asked.chains, seed=asked.seed)
    except (ImportError, ValueError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except OSError as error:
        sys.stderr.write(f"--out: no figure can be written to {asked.out}: {error.strerror or error}\n")
        return 1
    _say((json.dumps(found.content(), indent=2) if asked.json else str(found)) + "\n")
    return 0 if found.as_it_should else 1


def _explore(asked: argparse.Namespace) -> int:
    try:
        return explorer.start(port=asked.port, headless=asked.headless)
    except (ImportError, ValueError) as error:
        sys.stderr.write(f"{error}\n")
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m sde_sgd",
        description="SGD beside its stochastic differential equation.",
        epilog=_EXITS,
    )
    parser.add_argument("--version", action="version", version=f"sde_sgd {version('sde_sgd')}")
    commands = parser.add_subparsers(dest="command", metavar="command")
    doctor = commands.add_parser(
        "doctor", help="what is installed, which devices there are, what is missing for what", epilog=_EXITS
    )
    show = commands.add_parser(
        "demo", help="SGD, its SDE and Gibbs on a double well: numbers and a figure", epilog=_EXITS
    )
    for one in (doctor, show):
        one.add_argument("--json", action="store_true", help="print JSON, for programs")
    show.add_argument("--out", default="figures", metavar="DIR", help="where the figure goes (figures)")
    show.add_argument(
        "--chains",
        type=_chains,
        default=_MOST_CHAINS,
        help=f"runs of each process, {_FEWEST_CHAINS} to {_MOST_CHAINS} ({_MOST_CHAINS}); more would notice "
        f"that η is finite",
    )
    show.add_argument("--seed", type=_seed, default=0, help="of the random numbers (0)")
    live = commands.add_parser("explore", help="the explorer with its sliders, in the browser", epilog=_EXITS)
    live.add_argument("--port", type=_port, help="of the server; by default one that is free")
    live.add_argument("--headless", action="store_true", help="start the server, open no browser")
    return parser


def _chains(text: str) -> int:
    why = (
        "; fewer would tell nothing, more would tell SGD from Gibbs where all is well, as η is finite. Give "
        "fewer, or take ss.run and ss.statistics.compare with as many as you like"
    )
    return _integer(text, _FEWEST_CHAINS, _MOST_CHAINS, why)


def _seed(text: str) -> int:
    return _integer(text, 0, 2**32 - 1)


def _port(text: str) -> int:
    return _integer(text, 1, 65_535)


def _integer(text: str, low: int, high: int, why: str = "") -> int:
    if not text.isdecimal() or not low <= int(text) <= high:
        raise argparse.ArgumentTypeError(f"must be an integer from {low} to {high}, got {text!r}{why}")
    return int(text)


def _say(text: str) -> None:
    """Write it at once, or leave: quietly where nobody reads it, as after `| head`."""
    if sys.stdout is None:  # as after `>&-`
        sys.stderr.write("the output cannot be written: standard output is closed\n")
        raise SystemExit(2)
    encoding = sys.stdout.encoding or "utf-8"
    try:
        # a locale may have no "±"
        sys.stdout.write(text.encode(encoding, "replace").decode(encoding))
        sys.stdout.flush()
    except OSError as error:
        # at the end Python tries again to write what is left
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(error, BrokenPipeError):
            sys.stderr.write(f"the output cannot be written: {error.strerror or error}\n")
            raise SystemExit(2) from error
        raise SystemExit(_UNREAD) from error
