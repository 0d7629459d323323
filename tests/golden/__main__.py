"""`PYTHONPATH=tests python -m golden`: what is not as it was. `--write` keeps what is there now."""

import argparse
import json
import sys

from golden import KEPT, compare, machine, taken


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m golden")
    parser.add_argument("--write", action="store_true", help="keep what there is now")
    now = {"machine": machine(), "values": taken()}
    if parser.parse_args().write:
        KEPT.write_text(json.dumps(now, indent=1) + "\n")
        return 0
    wrong = compare(json.loads(KEPT.read_text()), now)
    for line in wrong:
        print(line)  # noqa: T201
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
