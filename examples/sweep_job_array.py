"""A sweep in parts, as the jobs of an array run it on a cluster, put together at the end.

Digits with a quarter of the training labels redrawn, a 64-32-10 tanh network, η and B by seeds. Each job
runs the part of its number, and is started again where it was killed; then all parts are merged, to the
bits of one call.

    python examples/sweep_job_array.py --part 3 --parts 8    # in each job of the array
    python examples/sweep_job_array.py --merge               # once all have ended

Under Slurm the number of the part is that of the task. Without either, all parts run here, one by one.
"""

import argparse
import os
from pathlib import Path
from typing import Any

import jax
from common import finish, parser_of, table

import sde_sgd as ss


def main() -> None:
    """Run one part, or merge, or do it all."""
    parser = parser_of(__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    task = os.environ.get("SLURM_ARRAY_TASK_ID")
    parser.add_argument("--part", type=int, default=task, help="which, from 0; by default the task of Slurm")
    parser.add_argument("--parts", type=int, default=4, help="of how many, in all jobs the same; default: 4")
    parser.add_argument("--merge", action="store_true", help="put the parts together, and draw the figure")
    parser.set_defaults(out=Path("results"))
    args = parser.parse_args()
    folder = args.out / "sweep_job_array"
    if not args.merge:
        for part in range(args.parts) if args.part is None else [args.part]:
            print(ss.sweep(**arguments(args), part=(part, args.parts), checkpoint=folder, resume=True))
    if args.merge or args.part is None:
        result = ss.merge_sweeps(folder)
        print(f"merged: {result.save(args.out / 'sweep_job_array.nc', overwrite=True)}")
        show(result, args.out / "sweep_job_array.png")


def arguments(args: argparse.Namespace) -> dict[str, Any]:
    """The sweep, which is the same in every job."""
    digits = ss.data.with_label_noise(ss.data.digits(), 0.25, key=jax.random.key(42))
    return {
        "process": ss.SGD,
        "problem": ss.problems.mlp(digits, hidden=(32,)),
        "learning_rate": [0.02, 0.04, 0.08, 0.16],
        "batch_size": [4, 8, 16] if args.quick else [2, 4, 8, 16, 32],
        "seeds": 2 if args.quick else 8,
        "epochs": 4 if args.quick else 20,
        "chunk": 4 if args.quick else 8,  # parts are made of so many runs at a time
        "key": jax.random.key(args.seed),
    }


def show(result: ss.SweepResult, path: Path) -> None:
    """The table of final losses, and their map."""
    loss = result["loss"].isel(epoch=-1).mean("seed")
    sizes = [f"B = {size}" for size in loss["batch_size"].values]
    rows = [
        [f"{float(rate):g}", *(f"{value:.4f}" for value in loss.sel(learning_rate=rate).values)]
        for rate in loss["learning_rate"].values
    ]
    table(f"training loss at the end, mean of {result.dataset.sizes['seed']} seeds", ["η", *sizes], rows)
    print(result)
    figure, axes = ss.plot.figure(width=5.4, height=4.4)
    ss.plot.heat_map(loss, label="training loss", log=True, numbers="{:.3f}", ax=axes)
    axes.set_title("Parts of a sweep, merged: loss at the end")
    finish(figure, path)


if __name__ == "__main__":
    main()
