"""The command line: `python -m benchmarks [--quick] [--only NAME ...] [--against FILE] …`."""

import argparse
import dataclasses
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import sde_sgd as ss
from benchmarks import (
    _against,
    call_overhead,
    chain_kernel,
    copy_bandwidth,
    digits_mlp,
    digits_mlp_sde,
    double_well,
    ensemble_size,
    escape,
    exact_noise_step,
    integrators,
    lanczos,
    mixed_sweep,
    mlp_ceiling,
    random_numbers,
    sharpest_directions,
    two_processes,
    wide_vectors,
)
from benchmarks._environment import Environment, environment
from benchmarks._figure import draw
from benchmarks._rows import Row, calls_told, table
from benchmarks._timing import FULL, QUICK, Effort

BENCHMARKS: dict[str, Callable[[Effort], list[Row]]] = {
    "double_well": double_well.measure,
    "ensemble_size": ensemble_size.measure,
    "digits_mlp": digits_mlp.measure,
    "digits_mlp_sde": digits_mlp_sde.measure,
    "escape": escape.measure,
    "exact_noise_step": exact_noise_step.measure,
    "chain_kernel": chain_kernel.measure,
    "integrators": integrators.measure,
    "lanczos": lanczos.measure,
    "mlp_ceiling": lambda effort: mlp_ceiling.measure(effort.long()),
    "mixed_sweep": mixed_sweep.measure,
    "sharpest_directions": sharpest_directions.measure,
    "two_processes": two_processes.measure,
    "random_numbers": random_numbers.measure,
    "copy_bandwidth": copy_bandwidth.measure,
    "call_overhead": call_overhead.measure,
    "wide_vectors": wide_vectors.measure,
}
FIGURE = "ensemble_size"


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print the table, and write it where asked."""
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        names = chosen(options.only)
        check_writable("--json", options.json)
        check_writable("--figure", options.figure)
        earlier = None if options.against is None else _against.read(options.against)
        if options.figure is not None and FIGURE not in names:
            raise ValueError(f"--figure shows {FIGURE}, which --only leaves out; name it too.")
        if options.results is not None and options.only:
            raise ValueError("--results keeps a record of all benchmarks: leave out --only, or use --json.")
        if options.results is not None and options.results.is_file():
            raise ValueError(f"--results must be a folder, got the file {str(options.results)!r}.")
        # vectors as XLA has them: so are the committed results
        here = environment(ss.use_cpu(wide_vectors=False))
    except ValueError as error:
        parser.error(str(error))
    effort = QUICK if options.quick else FULL
    rows = [row for name in names for row in BENCHMARKS[name](effort)]
    print(here.header())
    print(f"best of {effort.rounds} rounds of {effort.seconds:g} s or more each")
    print()
    print(table(rows))
    print()
    print(calls_told(rows))
    if earlier is not None:
        found = _against.changes(earlier, rows, everything=not options.only)
        device = f"{here.title}, jax {here.jax}"
        print()
        print(_against.report(earlier, found, device, (effort.rounds, effort.seconds)))
    if options.json is not None:
        write(options.json, here, effort, rows)
    if options.results is not None:
        options.results.mkdir(parents=True, exist_ok=True)
        stem = options.results / f"{here.slug}-jax-{here.jax}"
        write(stem.with_name(f"{stem.name}.json"), here, effort, rows)
        if options.figure is None and FIGURE in names:
            options.figure = stem.with_name(f"{stem.name}.png")
    if options.figure is not None:
        draw(rows, options.figure, title=f"double well, {here.title}")


def chosen(only: Sequence[str] | None) -> list[str]:
    """The benchmarks to run, in their own order.

    Raises:
        ValueError: for a name that is not one.
    """
    for name in only or ():
        if name not in BENCHMARKS:
            raise ValueError(
                f"--only must be among {', '.join(BENCHMARKS)}, got {name!r}. Leave --only out to run all."
            )
    return [name for name in BENCHMARKS if not only or name in only]


def check_writable(option: str, path: Path | None) -> None:
    """Refuse a file that cannot be written before time is spent on measuring.

    Raises:
        ValueError: if it is a folder, or lies in a folder that does not exist.
    """
    if path is None:
        return
    if path.is_dir():
        raise ValueError(f"{option} must be a file, got {str(path)!r}, a folder; name a file in it.")
    if not path.parent.is_dir():
        raise ValueError(
            f"{option} must lie in a folder that exists, got {str(path)!r}; make {str(path.parent)!r} first."
        )


def write(path: Path, here: Environment, effort: Effort, rows: Sequence[Row]) -> None:
    """Write the environment, how long was measured, and the rows as JSON."""
    content = {
        "environment": dataclasses.asdict(here),
        "effort": dataclasses.asdict(effort),
        "rows": [dataclasses.asdict(row) for row in rows],
    }
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Time sde_sgd beside other libraries and hand-written C. A missed target is "
        "printed, not an error.",
    )
    parser.add_argument("--quick", action="store_true", help="few and short rounds, which scatter more")
    parser.add_argument("--only", nargs="+", metavar="NAME", help=f"of {', '.join(BENCHMARKS)}; default: all")
    parser.add_argument(
        "--against", type=Path, metavar="FILE", help="print the ratios beside those of earlier results"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows there")
    parser.add_argument(
        "--results", type=Path, metavar="DIR", help="write DIR/<device>-jax-<version>.json and .png"
    )
    parser.add_argument(
        "--figure", type=Path, metavar="FILE", help="draw throughput against ensemble size there"
    )
    return parser


if __name__ == "__main__":
    main()
