"""`PYTHONPATH=tests python -m torture`: run the modules and print their rows."""

import argparse
import importlib

parser = argparse.ArgumentParser()
parser.add_argument("modules", nargs="+")
parser.add_argument("--amount", type=float, default=1.0)
parser.add_argument("--seed", type=int, default=0)
ask = parser.parse_args()
for name in ask.modules:
    for row in importlib.import_module(f"torture.{name}").rows(ask.amount, ask.seed):
        print(f"{row.what}: {row.held} of {row.tried}, {row.outcomes}", *row.failures[:5], sep="\n  ")
