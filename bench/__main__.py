"""`make bench`: releasekit against what a team would write or type, side by side in one run.

Both sides release the same shop on the same engine in turn, so that whatever else the machine does
hits both. Exit 1 when a limit is broken.
"""

from __future__ import annotations

import argparse
import sys

from bench import release, rolling, scale


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__.splitlines()[0])
    parser.add_argument("which", nargs="*", help="default: all")
    parser.add_argument("--rounds", type=int, help="of each comparison (default: 7, 3, 3)")
    parser.add_argument("--replicas", type=int, default=20, help="for rolling and scale (20)")
    parser.add_argument(
        "--surge", type=int, action="append", help="batch size of rolling (5); more than once"
    )
    options = parser.parse_args()
    which = options.which or ["release", "rolling", "scale"]
    held: list[bool] = []
    if "release" in which:
        held += release.bench(options.rounds or 7)
    if "rolling" in which:
        surges = tuple(options.surge or [5])
        held += rolling.bench(options.rounds or 3, options.replicas, surges)
    if "scale" in which:
        held += scale.bench(options.rounds or 3, options.replicas)
    return 0 if all(held) else 1


if __name__ == "__main__":
    sys.exit(main())
