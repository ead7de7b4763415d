"""Signals, and outputs that nobody reads, in each phase of a release."""

from __future__ import annotations

import fcntl
import os
import pty
import shlex
import signal
import subprocess
import termios
import time

import pytest

from tests.e2e.shop import DEADLINE_S, RELEASEKIT
from tests.faults.stage import Pair, assert_fit, assert_settled, standing

pytestmark = pytest.mark.e2e

slow = pytest.mark.slow
LEAVES_S = 5.0
"""How long a run that waits, or is between two steps, may take to turn back."""
AT_ONCE_S = 2.0
STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

WAITS = {
    "prepare": ("AwaitHealthy", "Stop", {"SHOP_BOOT_SECONDS": "60"}),
    "shift": ("Watch", "Route", {"WATCH_SECONDS": "60"}),
}
"""Of each phase before the commit point a step that waits, what the way back begins with, and what
makes the step wait for long."""


@pytest.mark.parametrize(
    ("phase", "number"),
    [
        pytest.param(phase, number, marks=[] if (phase, number) == ("shift", STOPS[2]) else slow)
        for phase in WAITS
        for number in STOPS
    ],
)
def test_one_signal_brings_the_previous_release_back(
    pair: Pair, phase: str, number: signal.Signals
) -> None:
    team, first, second = standing(pair, "watched")
    step, back, environ = WAITS[phase]
    with team.load() as load:
        with team.running(second, **environ) as up:
            up.wait_for_step(step)
            began = time.monotonic()
            up.signal(number)
            up.wait_for_step(back)
            assert time.monotonic() - began < LEAVES_S
            ran = up.finish().ended(130)
        assert f"{first[:7]} serves as before" in ran.result["message"]
        assert_settled(team, first)
    assert_fit(team.shop, load.report)


@slow
def test_a_terminal_that_goes_in_the_midst_of_its_progress_brings_it_back_too(pair: Pair) -> None:
    """The kernel sends the signal, and whatever is written to the terminal from then on fails."""
    team, first, second = standing(pair, "watched")
    with team.load() as load:
        terminal, end = pty.openpty()
        environ = team.shop.environment(TERM="xterm", SHOP_BOOT_SECONDS="60")
        up = subprocess.Popen(
            [RELEASEKIT, "up", second],
            cwd=team.shop.folder,
            env=environ,
            stdin=end,
            stdout=end,
            stderr=end,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY),
        )
        os.close(end)
        read_until(terminal, b"AwaitHealthy")
        os.close(terminal)
        assert up.wait(DEADLINE_S) == 130
        assert_settled(team, first)
    assert_fit(team.shop, load.report)


def read_until(terminal: int, word: bytes) -> None:
    said = b""
    while word not in said:
        said += os.read(terminal, 4096)


@slow
@pytest.mark.parametrize("number", STOPS)
def test_after_the_commit_point_a_signal_lets_it_finish(pair: Pair, number: signal.Signals) -> None:
    team, _, second = standing(pair, "watched")
    with team.load() as load:
        with team.running(second) as up:
            up.wait_for_step("Drain")
            up.signal(number)
            up.finish().ended(0)
        assert_settled(team, second)
    assert_fit(team.shop, load.report)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["Start", "Route", "Stop"])
def test_the_second_signal_leaves_at_once_and_one_command_goes_on(pair: Pair, name: str) -> None:
    team, _, second = standing(pair, "watched")
    hang = team.meanwhile(second, name, "sleep", "60")
    with team.load() as load:
        with team.running(second, hang) as up:
            up.wait_for_step(name)
            up.signal(signal.SIGTERM)
            up.wait_for_word("stopping")
            began = time.monotonic()
            up.signal(signal.SIGTERM)
            up.finish().ended(130)
            assert time.monotonic() - began < AT_ONCE_S
        (told,) = [p for p in team.shop.status()["problems"] if "cut short" in p]
        assert f"amid {name}" in told
        assert "`releasekit recover` puts that right" in told
        team.up(second).ended(0)
        assert_settled(team, second)
    assert_fit(team.shop, load.report)


@pytest.mark.parametrize(
    "redirected",
    [
        "--json {sha} | head -1",
        pytest.param("{sha} 2>&1 | head -1", marks=slow),
        pytest.param("--json {sha} >/dev/full", marks=slow),
        "{sha} >/dev/full 2>&1",
        pytest.param("{sha} >&- 2>&-", marks=slow),
    ],
)
def test_a_release_is_finished_also_when_nobody_reads_of_it(pair: Pair, redirected: str) -> None:
    team, first, second = pair
    sha = second if team.shop.serving() == first else first
    command = f"{shlex.quote(RELEASEKIT)} up {redirected.format(sha=sha)}"
    team.shop.run("bash", "-o", "pipefail", "-c", command).ended(0)
    assert_settled(team, sha)
