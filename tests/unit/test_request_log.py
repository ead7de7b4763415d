"""nginx's log is read in parts, each line once and whole, and does not grow without limit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from releasekit.errors import CommandFailed, DeadlineExceeded
from releasekit.nginx import request_log
from releasekit.nginx.request_log import RequestLog
from releasekit.ports import Answer, Completed

PART = 20
LOG = "/run/releasekit.log"


@dataclass
class Nginx:
    """The private server over a log of this text, and the container that it is in."""

    text: str = ""
    fails: Answer | None = None
    inspected: int = 0
    emptied: list[Sequence[str]] = field(default_factory=list)
    status: int = 0

    def log(self, offset: int) -> tuple[Answer, str]:
        if self.fails is not None:
            return self.fails, ""
        if not self.text and not offset:
            return Answer(200), ""
        part = self.text[offset : offset + PART]
        return (Answer(206), part) if part else (Answer(416), "no such part")

    def inspect(self) -> None:
        self.inspected += 1

    def execute(self, argv: Sequence[str], *, deadline_s: float) -> Completed:
        assert deadline_s > 0
        if self.status < 0:
            raise DeadlineExceeded("docker hangs")
        self.emptied.append(argv)
        if self.status == 0:
            self.text = ""
        return Completed(self.status, "", "")


def over(nginx: Nginx) -> RequestLog:
    both: Any = nginx
    return RequestLog(both, both, LOG)


def test_each_line_is_read_once_and_only_when_it_is_whole() -> None:
    nginx = Nginx("one\ntwo\nthree is lon")
    log = over(nginx)
    assert log.lines() == ["one", "two"]
    assert log.lines() == []
    nginx.text += "ger\nfour\n"
    assert log.lines() == ["three is longer", "four"]


def test_an_empty_log_has_no_lines() -> None:
    assert over(Nginx()).lines() == []


def test_more_lines_than_a_part_holds_are_read_at_once() -> None:
    lines = [f"line {number}" for number in range(100)]
    assert over(Nginx("".join(f"{line}\n" for line in lines))).lines() == lines


@pytest.mark.parametrize(
    ("fails", "why"),
    [(Answer(403), "it answers 403"), (Answer(None, "connection refused"), "connection refused")],
)
def test_one_that_cannot_be_read_is_told_and_nginx_is_looked_for_anew(
    fails: Answer, why: str
) -> None:
    nginx = Nginx("one\n", fails)
    log = over(nginx)
    with pytest.raises(CommandFailed, match=f"nginx's log {LOG} cannot be read: {why}"):
        log.lines()
    assert nginx.inspected == 1
    nginx.fails = None
    assert log.lines() == ["one"]


def test_what_was_read_is_emptied_when_it_is_a_lot(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_log, "MOST", 8)
    nginx = Nginx("one\ntwo\n")
    log = over(nginx)
    assert log.lines() == ["one", "two"]
    assert nginx.emptied == []
    nginx.text += "six\n"
    assert log.lines() == ["six"]
    assert nginx.emptied == [["cp", "/dev/null", LOG]]
    nginx.text = "new\n"
    assert log.lines() == ["new"]


@pytest.mark.parametrize("status", [1, -1])
def test_what_could_not_be_emptied_is_not_read_twice(
    status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(request_log, "MOST", 6)
    nginx = Nginx("one\ntwo\n", status=status)
    log = over(nginx)
    assert log.lines() == ["one", "two"]
    nginx.text += "six\n"
    assert log.lines() == ["six"]


@pytest.mark.parametrize(("status", "works"), [(0, True), (1, False), (-1, False)])
def test_to_empty_it_tells_whether_nginx_can_write_it(status: int, works: bool) -> None:
    assert over(Nginx(status=status)).empty() is works
