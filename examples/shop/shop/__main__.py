"""`python -m shop web | worker | migrate`"""

import logging
import signal
import sys
from collections.abc import Callable
from types import FrameType

# As PID 1 of a container a process without a handler ignores SIGTERM; the imports below take long
# enough for one to come.
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))

from shop.settings import Settings  # noqa: E402
from shop.store import Store, StoreUnavailable  # noqa: E402
from shop.web import serve  # noqa: E402
from shop.worker import work  # noqa: E402


def on_stop(stop: Callable[[], None]) -> None:
    """Let the signals that end a process call `stop`."""

    def handle(number: int, frame: FrameType | None) -> None:
        stop()

    signal.signal(signal.SIGTERM, handle)
    signal.signal(signal.SIGINT, handle)


def migrate() -> int:
    """Bring the schema of the database up to date; the exit status."""
    try:
        Store().migrate()
    except StoreUnavailable as error:
        print(f"migrate: {error}", file=sys.stderr)
        return 1
    return 0


def main(arguments: list[str]) -> int:
    """Run one of the shop's processes; its exit status."""
    logging.basicConfig(
        stream=sys.stdout, level=logging.INFO, format="%(asctime)s %(name)s: %(message)s"
    )
    try:
        settings = Settings.load()
    except ValueError as error:
        print(f"settings: {error}", file=sys.stderr)
        return 2
    match arguments:
        case ["web"]:
            return serve(settings, on_stop)
        case ["worker"]:
            return work(settings, on_stop)
        case ["migrate"]:
            return migrate()
        case _:
            print(__doc__, file=sys.stderr)
            return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
