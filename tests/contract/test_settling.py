"""A container that nothing asks, on a real engine: it counts as healthy once it ran so long."""

from __future__ import annotations

import os
import secrets
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from releasekit.bundle import Bundle, BundledService, BundleStore
from releasekit.compose.docker import Docker
from releasekit.compose.engine import ComposeEngine
from releasekit.hosts.local import LocalHost, MonotonicClock
from releasekit.ports import Probe
from releasekit.release import Release
from releasekit.target import Service
from releasekit.waiting import wait_until

pytestmark = pytest.mark.e2e

SETTLE_S = 1.0
ONE_CRASH = "test -e /tmp/crashed && exec sleep 600; touch /tmp/crashed; sleep 0.5; exit 3"


class Worker:
    """A container of its own, and the engine that looks at it."""

    def __init__(self, name: str) -> None:
        self.name, self.seen = name, [Probe(False, "")]
        self.clock = MonotonicClock()
        host = LocalHost({"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/")})
        bundle = Bundle(
            id="1~a",
            release=Release("1"),
            project="rk",
            folder="/",
            model={"name": "rk", "services": {"worker": {}}, "networks": {}},
            services=(BundledService(Service("worker", settle_s=SETTLE_S)),),
            backing=(),
            images={},
        )
        store = BundleStore(host, "/nowhere")
        self.engine = ComposeEngine(host, Docker(host), store, self.clock, bundle, set)

    def run(self, script: str, *options: str) -> None:
        image = "releasekit-base/redis:7"
        command = ["docker", "run", "-d", "--init", "--name", self.name, *options, image]
        subprocess.run([*command, "sh", "-c", script], check=True, capture_output=True, timeout=60)

    def probe(self) -> Probe:
        probe = self.engine.probe("1~a", [("worker", self.name)])[self.name]
        if probe != self.seen[-1]:
            self.seen.append(probe)
        return probe

    def until_settled_or_lost(self) -> Probe:
        def look() -> str:
            probe = self.probe()
            return "" if probe.is_healthy or probe.is_lost else probe.detail

        wait_until(look, deadline_s=30.0, clock=self.clock)
        return self.seen[-1]

    def asked(self, what: str) -> str:
        command = ["docker", "inspect", "--format", f"{{{{.{what}}}}}", self.name]
        done = subprocess.run(command, check=True, capture_output=True, timeout=60, text=True)
        return done.stdout.strip()


@pytest.fixture
def worker() -> Iterator[Worker]:
    worker = Worker(f"rk-settling-{secrets.token_hex(4)}")
    try:
        yield worker
    finally:
        subprocess.run(["docker", "rm", "-f", worker.name], capture_output=True, timeout=60)


def test_what_runs_on_settles_and_not_before_its_time(worker: Worker) -> None:
    worker.run("exec sleep 600")
    began = worker.clock.now()

    assert worker.until_settled_or_lost() == Probe(True, "it ran 1 s without a restart")
    assert worker.clock.now() - began >= SETTLE_S
    assert worker.seen[1] == Probe(False, "it runs, and has to for 1 s more")


def test_what_crashed_once_settles_after_its_restart(worker: Worker) -> None:
    worker.run(ONE_CRASH, "--restart", "on-failure")
    worker.probe()

    assert worker.until_settled_or_lost().is_healthy
    settled = datetime.now(UTC)
    assert worker.asked("RestartCount") == "1"
    ran = settled - datetime.fromisoformat(worker.asked("State.StartedAt"))
    assert ran.total_seconds() >= SETTLE_S


def test_what_crashes_over_and_over_is_lost(worker: Worker) -> None:
    worker.run("sleep 0.1; exit 3", "--restart", "always")

    lost = worker.until_settled_or_lost()

    assert lost.is_lost
    assert lost.detail.startswith("it crashes: restarted")
