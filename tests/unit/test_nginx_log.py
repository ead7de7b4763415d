"""The log of a bake in nginx's files: where, in which pieces of time, and that it reads back."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from releasekit.nginx.language import written
from releasekit.nginx.log import SECONDS, Log, directives, found, pieces_of, text
from releasekit.nginx.render import Control, render
from releasekit.observed import Nginx, Route, Upstream

NOW = 1795178903.2
PATH = "/run/releasekit.log"
LOG = Log(PATH, (17951789, 17951790))
MOMENTS = st.integers(10**12, 4 * 10**12).map(lambda ms: ms / 1000)
LENGTHS = st.integers(0, 500_000).map(lambda ms: ms / 1000)


def managed(log: Log | None) -> str:
    route = Route((Upstream("web", ()),), "4f2a")
    return render(route, {}, Nginx((1, 30, 6)), Control(8999), log=log)


def matches(log: Log, moment: float) -> bool:
    """Whether nginx's map would find `$msec` at this moment."""
    found = re.search(r"~(\^[^ ']+)'? 1;", written(directives(log)))
    return found is not None and re.search(found[1], f"{moment:.3f}") is not None


def test_the_managed_file_has_the_format_the_time_and_the_way_to_read_it() -> None:
    file = managed(LOG)
    assert (
        "log_format releasekit '$msec|$status|$request_time|$upstream_addr|$upstream_status|"
        "$upstream_response_time';\n"
        "map $msec $releasekit__bakes {\n"
        "    default 0;\n"
        "    '~^(17951789|17951790)[0-9][0-9][.]' 1;\n"
        "}\n"
    ) in file
    assert f"    location = /log {{\n        alias {PATH};\n" in file


def test_a_log_that_is_closed_has_no_time() -> None:
    assert "map $msec $releasekit__bakes {\n    default 0;\n}\n" in managed(Log(PATH))
    assert pieces_of(managed(Log(PATH))) == ()


def test_without_one_nothing_of_it_is_written() -> None:
    assert "log" not in managed(None).replace("access_log off", "")


def test_what_the_team_includes_is_one_line() -> None:
    assert text(LOG) == f"access_log {PATH} releasekit if=$releasekit__bakes;\n"


def test_the_pieces_of_time_are_read_back() -> None:
    assert pieces_of(managed(LOG)) == LOG.pieces
    assert pieces_of("") == ()


def test_a_log_at_another_path_is_another_log() -> None:
    assert found(managed(LOG), PATH) == LOG
    assert found(managed(LOG), f"{PATH}2") == Log(f"{PATH}2")


@given(MOMENTS, LENGTHS)
def test_it_is_open_from_now_until_its_end_and_closes_soon_after(
    now: float, seconds: float
) -> None:
    log = Log(PATH).until(now, now + seconds)
    assert matches(log, now)
    assert matches(log, now + seconds)
    assert log.is_open(now + seconds)
    assert not matches(log, now + seconds + SECONDS)
    assert not log.is_open(now + seconds + SECONDS)


@given(LENGTHS, LENGTHS)
def test_what_is_open_goes_on_from_where_it_began(later: float, seconds: float) -> None:
    first = Log(PATH).until(NOW, NOW + 150)
    then = first.until(NOW + later, NOW + later + seconds)
    assert matches(then, NOW + later + seconds)
    assert then.is_open(NOW) == first.is_open(NOW + later)
