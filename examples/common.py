"""What the example scripts share: their options, their tables, where figures go."""

import argparse
import time
from pathlib import Path

import jax
from matplotlib.figure import Figure

import sde_sgd as ss

# One virtual device for each core: chains are spread over devices, so all cores work. On a GPU or
# TPU this changes nothing.
ss.use_cpu()

STARTED = time.perf_counter()


def parser_of(description: str | None) -> argparse.ArgumentParser:
    """A parser with the options every example has: --quick, --seed, --out."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--quick", action="store_true", help="smaller and faster, same point")
    parser.add_argument("--seed", type=int, default=0, help="seed of all random numbers")
    parser.add_argument("--out", type=Path, default=Path("figures"), help="folder for the figures")
    return parser


def options(description: str | None, chains: tuple[int, int] | None = None) -> argparse.Namespace:
    """The options every example has, and --chains where it has two defaults.

    Args:
        description: of the example.
        chains: how many with --quick, and how many without.
    """
    parser = parser_of(description)
    if chains is None:
        return parser.parse_args()
    parser.add_argument("--chains", type=int, help=f"in place of {chains[1]}, or {chains[0]} with --quick")
    args = parser.parse_args()
    if args.chains is None:
        args.chains = chains[0 if args.quick else 1]
    return args


def table(title: str, header: list[str], rows: list[list[str]]) -> None:
    """Print rows in columns as wide as they need."""
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]
    print(f"\n{title}")
    for row in [header, *rows]:
        print("  " + "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)))


def finish(figure: Figure, path: Path) -> None:
    """Save the figure and say where, on what device and after how long."""
    device = jax.devices()[0]
    seconds = time.perf_counter() - STARTED
    print(f"\nfigure: {ss.plot.save(figure, path)}")
    count = jax.local_device_count()
    print(f"device: {count} x {device.device_kind} ({jax.default_backend()}), {seconds:.1f} s")
