"""`python -m sde_sgd doctor`, `demo`, `explore`."""

import sys

from sde_sgd._command_line._main import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
