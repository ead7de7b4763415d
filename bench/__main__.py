"""`make bench`: releasekit against what a team would write or type, side by side in one run.

Both sides release the same shop on the same engine in turn, so that whatever else the machine does
hits both. Exit 1 when a limit is broken.
"""

from __future__ import annotations

import argparse
import sys

from bench import release, rolling, scale

ALL = ("release", "rolling", "scale")


def main() -> int:
    options = parsed()
    which = ALL if "all" in options.which else options.which
    held: list[bool] = []
    if "release" in which:
        held += release.bench(options.rounds or 7)
    if "rolling" in which:
        held += rolling.bench(options.rounds or 3, options.replicas, options.surge or [5])
    if "scale" in which:
        held += scale.bench(options.rounds or 3, options.replicas)
    return 0 if all(held) else 1


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("which", nargs="*", choices=[*ALL, "all"], default="all")
    parser.add_argument("--rounds", type=int, help="of each comparison (7, 3 and 3)")
    parser.add_argument("--replicas", type=int, default=20, help="for rolling and scale (20)")
    parser.add_argument(
        "--surge", type=int, action="append", help="rolling's batch size (5); may be repeated"
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
