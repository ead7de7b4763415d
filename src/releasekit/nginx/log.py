"""nginx's log for the bake: where it is written, for how long, and its directives. Pure.

nginx writes to the `access_log`s of the innermost level that has any, so one of ours in `http { }`
would be passed over by every server that has its own, and would switch the default one off where
there is none. Only the team can say where it belongs: they include `FILE` beside their own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from releasekit.baking import FORMAT
from releasekit.nginx.language import Directive, written
from releasekit.nginx.language import directive as _d

FILE = "releasekit.access_log"
PATTERN = "*.access_log"
"""What the team's configuration includes: as long as there is no such file it means nothing."""
FORMAT_NAME = "releasekit"
LOCATION = "/log"
SECONDS = 100
"""Time is cut into pieces of so many seconds, which the first digits of the epoch name."""

_VARIABLE = "$releasekit__bakes"
_MAP = re.compile(rf"map \$msec {re.escape(_VARIABLE)} \{{[^}}]*~\^\(([0-9|]+)\)")


@dataclass(frozen=True, slots=True)
class Log:
    """The log at `path` in nginx's container, and the pieces of time in which it is written.

    It ends by itself: whoever watches may be killed, and a reload for its end alone would close
    idle connections.
    """

    path: str
    pieces: tuple[int, ...] = ()

    def is_open(self, at_s: float) -> bool:
        """Whether it is written at this moment, in seconds since the epoch."""
        return _piece(at_s) in self.pieces

    def until(self, now_s: float, end_s: float) -> Log:
        """The same, written from now until `end_s`, or up to SECONDS longer. What is open goes on
        from where it began."""
        first = self.pieces[0] if self.is_open(now_s) else _piece(now_s)
        return Log(self.path, tuple(range(first, _piece(end_s) + 1)))


def pieces_of(text: str) -> tuple[int, ...]:
    """The pieces of time that the managed file `text` has."""
    found = _MAP.search(text)
    return tuple(map(int, found[1].split("|"))) if found else ()


def found(text: str, path: str) -> Log:
    """The log at `path` as the managed file `text` has it: without pieces where it has another."""
    is_there = written([_d("alias", path)]).strip() in text
    return Log(path, pieces_of(text) if is_there else ())


def directives(log: Log) -> Iterator[Directive]:
    """For the managed file, that is in `http { }`."""
    yield _d("log_format", FORMAT_NAME, FORMAT)
    pieces = "|".join(map(str, log.pieces))
    when = [_d(f"~^({pieces})[0-9][0-9][.]", "1")] if pieces else []
    yield _d("map", "$msec", _VARIABLE, block=[_d("default", "0"), *when])


def location(log: Log) -> Directive:
    """For the private server: the file, in parts that are asked for by their bytes."""
    body = [
        _d("alias", log.path),
        _d("default_type", "text/plain"),
        _d("open_file_cache", "off"),
        _d("max_ranges", "1"),
        _d("gzip", "off"),
    ]
    return _d("location", "=", LOCATION, block=body)


def text(log: Log) -> str:
    """The file that the team includes beside each `access_log` of their own."""
    return written([_d("access_log", log.path, FORMAT_NAME, f"if={_VARIABLE}")])


def _piece(seconds: float) -> int:
    return int(seconds) // SECONDS
