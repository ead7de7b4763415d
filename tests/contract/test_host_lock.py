"""The lock of a host: one at a time, gone with its holder; and what such a holder left running."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import pytest

from releasekit.errors import Locked
from releasekit.hosts import processes
from releasekit.hosts.local import LocalHost, MonotonicClock
from releasekit.waiting import wait_until

pytestmark = pytest.mark.faults


@pytest.fixture
def host() -> LocalHost:
    return LocalHost({"PATH": os.environ["PATH"]})


HOLD = """
import os, sys
from releasekit.hosts.local import LocalHost
host = LocalHost(os.environ)
with host.lock(sys.argv[1], "up 3f2a9c1"):
    print("held", flush=True)
    if sys.argv[2:]:
        host.run(sys.argv[2:], deadline_s=300)
    sys.stdin.read()
print("free", flush=True)
"""
"""Holds the lock of its first argument, running the others as a command, until it is told."""


@contextmanager
def holding(path: str, *argv: str) -> Iterator[subprocess.Popen[bytes]]:
    """Another process that holds the lock, killed at the end."""
    given = {"USER": "kim", "CI_JOB_URL": "https://ci.example/7", "PATH": os.environ["PATH"]}
    command = [sys.executable, "-c", HOLD, path, *argv]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, env=given, stdin=pipe, stdout=pipe) as holder:
        try:
            assert holder.stdout
            assert holder.stdout.readline() == b"held\n"
            yield holder
        finally:
            holder.kill()


def until(holds: Callable[[], bool]) -> None:
    wait_until(lambda: "" if holds() else "not yet", deadline_s=10, clock=MonotonicClock())


class Gone(Exception):
    """Whoever waited does so no longer."""


class TestLock:
    def test_the_second_is_told_who_holds_it_from_where_for_what_and_since_when(
        self, host: LocalHost, tmp_path: Path
    ) -> None:
        path = str(tmp_path / "lock")
        assert host.holder(path) == ""
        with holding(path) as holder:
            told = (
                rf"locked by kim from https://ci\.example/7 \(process {holder.pid}\): "
                rf"up 3f2a9c1, since {MonotonicClock().utc()[:10]} \d\d:\d\d UTC$"
            )
            with pytest.raises(Locked, match=told), host.lock(path, "rollback"):
                pass
            assert re.match(told, host.holder(path))

    def test_it_is_free_again_afterwards_also_in_one_process(
        self, host: LocalHost, tmp_path: Path
    ) -> None:
        path = str(tmp_path / "lock")
        with host.lock(path, "up"):
            with pytest.raises(Locked, match=f"process {os.getpid()}"), host.lock(path, "up"):
                pass
            assert f"process {os.getpid()}" in host.holder(path)
        assert host.holder(path) == ""
        with host.lock(path, "rollback"):
            assert "rollback" in host.holder(path)

    def test_who_waits_is_told_for_whom_and_has_it_the_moment_it_is_free(
        self, host: LocalHost, tmp_path: Path
    ) -> None:
        path, told = str(tmp_path / "lock"), dict[str, None]()
        with holding(path) as holder:

            def heard(detail: str) -> None:
                if not told and holder.stdin:
                    holder.stdin.close()
                told[detail] = None

            with host.lock(path, "rollback", wait_s=60, on_wait=heard):
                assert holder.stdout
                freed = time.monotonic()
                assert holder.stdout.readline() == b"free\n"
            assert time.monotonic() - freed < 5
        assert next(iter(told)).startswith("locked by kim from https://ci.example/7")

    def test_it_is_waited_for_no_longer_than_it_was_said(
        self, host: LocalHost, tmp_path: Path
    ) -> None:
        path = str(tmp_path / "lock")
        with holding(path):
            began = time.monotonic()
            with pytest.raises(Locked, match=r"locked by kim.*\(waited 0\.5 s\)"):
                with host.lock(path, "rollback", wait_s=0.5):
                    pass
            assert 0.4 < time.monotonic() - began < 5

    def test_who_waits_may_give_up(self, host: LocalHost, tmp_path: Path) -> None:
        def give_up(_: str) -> None:
            raise Gone

        path = str(tmp_path / "lock")
        with holding(path):
            with pytest.raises(Gone), host.lock(path, "up", wait_s=60, on_wait=give_up):
                pass

    def test_it_dies_with_its_holder(self, host: LocalHost, tmp_path: Path) -> None:
        path = str(tmp_path / "lock")
        with holding(path) as holder:
            with pytest.raises(Locked), host.lock(path, "up"):
                pass
            holder.send_signal(signal.SIGKILL)
            holder.wait()
            assert host.holder(path) == ""

            with host.lock(path, "up"):
                pass

    def test_a_command_that_outlives_its_holder_does_not_hold_it(
        self, host: LocalHost, tmp_path: Path
    ) -> None:
        path, pid = str(tmp_path / "lock"), tmp_path / "pid"
        with holding(path, "sh", "-c", f"echo $$ > {pid}; exec sleep 300") as holder:
            until(lambda: pid.exists() and pid.read_text().strip() != "")
            holder.send_signal(signal.SIGKILL)
            holder.wait()
            child = int(pid.read_text())
            try:
                with host.lock(path, "up"):
                    os.kill(child, 0)
            finally:
                os.kill(child, signal.SIGKILL)

    @pytest.mark.parametrize("said", [b"", b"garbage", b"[1]", b'{"by": "kim"}'])
    def test_a_holder_that_says_nothing_holds_it_all_the_same(
        self, host: LocalHost, tmp_path: Path, said: bytes
    ) -> None:
        path = tmp_path / "lock"
        with holding(str(path)):
            path.write_bytes(said)
            with pytest.raises(Locked, match="just starting"), host.lock(str(path), "up"):
                pass
            assert "cannot sign" in host.holder(str(path))
        assert host.holder(str(path)) == ""

    def test_on_a_full_disk_it_is_held_and_known_to_be(
        self, host: LocalHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def full(*_: object) -> NoReturn:
            raise OSError(errno.ENOSPC, "No space left on device")

        path = str(tmp_path / "lock")
        monkeypatch.setattr(os, "pwrite", full)
        with host.lock(path, "rollback"):
            assert "cannot sign" in host.holder(path)
        assert host.holder(path) == ""

    def test_what_a_dead_holder_said_names_nobody_who_has_its_number_now(
        self, host: LocalHost, tmp_path: Path
    ) -> None:
        path = tmp_path / "lock"
        with host.lock(str(path), "up"):
            said = json.loads(path.read_text())
        pid, _, boot = said["process"].split()
        for process in (f"{pid} 1 {boot}", f"{said['process']}0", ""):
            path.write_text(json.dumps(said | {"process": process}))
            assert host.holder(str(path)) == ""
        path.write_text(json.dumps(said))
        assert "up" in host.holder(str(path))


@pytest.fixture
def docker(tmp_path: Path) -> str:
    """A program of that name, which starts another and waits for it, as docker does."""
    folder = tmp_path / "bin"
    folder.mkdir()
    shutil.copy("/bin/sleep", folder / "docker-compose")
    program = folder / "docker"
    program.write_text('#!/bin/sh\n"${0}-compose" "$2"\nexit\n')
    program.chmod(0o700)
    return str(program)


class TestLeftBehind:
    """What a command does that outlives the run that started it is known, and can be ended."""

    def left(self, path: str, *argv: str) -> None:
        """Run the command under the lock, and kill who does so."""
        with holding(path, *argv) as holder:
            until(lambda: len(processes.running_under(path)) == 2)
            holder.send_signal(signal.SIGKILL)
            holder.wait()

    def test_it_is_found_with_what_it_started_and_both_are_ended(
        self, host: LocalHost, tmp_path: Path, docker: str
    ) -> None:
        path = str(tmp_path / "lock")
        self.left(path, docker, "up", "300")
        with host.lock(path, "up"):
            (found,) = host.left_behind(path)
            assert re.fullmatch(r"`sh \S+/bin/docker up 300` \(process \d+\)", found)

            host.end_left_behind(path)
            until(lambda: not host.left_behind(path))

    def test_its_own_child_alone_is_found_too(
        self, host: LocalHost, tmp_path: Path, docker: str
    ) -> None:
        path = str(tmp_path / "lock")
        self.left(path, docker, "up", "300")
        parent, *_ = sorted(processes.running_under(path), key=lambda p: p.command, reverse=True)
        processes.kill(parent, path)
        until(lambda: len(processes.running_under(path)) == 1)
        (found,) = host.left_behind(path)
        assert found.startswith("`docker-compose 300`")
        host.end_left_behind(path)
        until(lambda: not host.left_behind(path))

    def test_what_runs_under_another_lock_or_none_is_left_alone(
        self, host: LocalHost, tmp_path: Path, docker: str
    ) -> None:
        path, other = str(tmp_path / "lock"), str(tmp_path / "other")
        with subprocess.Popen([docker, "up", "300"], start_new_session=True) as stranger:
            self.left(other, docker, "up", "300")
            with host.lock(path, "up"):
                assert host.left_behind(path) == ()
                host.end_left_behind(path)
            assert len(processes.running_under(other)) == 2
            host.end_left_behind(other)
            until(lambda: not host.left_behind(other))
            assert stranger.poll() is None
            os.killpg(stranger.pid, signal.SIGKILL)

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
    def test_what_another_user_gives_out_as_ours_is_left_alone(
        self, host: LocalHost, tmp_path: Path
    ) -> None:
        path = str(tmp_path / "lock")
        with tempfile.TemporaryDirectory() as folder:
            program = Path(folder, "docker")
            shutil.copy("/bin/sleep", program)
            Path(folder).chmod(0o755)
            given = {"RELEASEKIT_LOCK": path}
            with subprocess.Popen([program, "300"], env=given, user=65534) as stranger:
                until(lambda: Path(f"/proc/{stranger.pid}/comm").read_text() == "docker\n")
                assert host.left_behind(path) == ()
                host.end_left_behind(path)
                assert stranger.poll() is None
                stranger.kill()

    def test_a_number_that_another_process_has_by_now_is_not_killed(
        self, host: LocalHost, tmp_path: Path, docker: str
    ) -> None:
        with subprocess.Popen([docker, "up", "300"], start_new_session=True) as stranger:
            processes.kill(processes.Process(stranger.pid, 1, "docker up"), str(tmp_path / "lock"))
            assert stranger.poll() is None
            os.killpg(stranger.pid, signal.SIGKILL)

    def test_what_is_no_command_of_ours_but_called_into_life_by_one_is_left_alone(
        self, host: LocalHost, tmp_path: Path
    ) -> None:
        path, pid = str(tmp_path / "lock"), tmp_path / "pid"
        with holding(path, "sh", "-c", f"echo $$ > {pid}; exec sleep 300"):
            until(lambda: pid.exists() and pid.read_text().strip() != "")
            assert host.left_behind(path) == ()
        os.kill(int(pid.read_text()), signal.SIGKILL)

    def test_a_command_that_runs_under_no_lock_has_no_mark(
        self, host: LocalHost, tmp_path: Path
    ) -> None:
        path, other = str(tmp_path / "lock"), str(tmp_path / "other")
        with host.lock(path, "up"):
            with host.lock(other, "nginx"):
                both = host.run(["env"], deadline_s=5).stdout
            one = host.run(["env"], deadline_s=5).stdout
        assert f"RELEASEKIT_LOCK={path}:{other}\n" in both
        assert f"RELEASEKIT_LOCK={path}\n" in one
        assert "RELEASEKIT_LOCK" not in host.run(["env"], deadline_s=5).stdout
