"""`python -m sde_sgd.explorer`: the explorer in a browser."""

import sys

from sde_sgd.explorer._start import start

sys.exit(start())
