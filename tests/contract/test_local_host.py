"""What every host promises, on this machine."""

from __future__ import annotations

import errno
import http.server
import os
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from releasekit.errors import DeadlineExceeded, HostError, Locked
from releasekit.hosts.local import LocalHost


@pytest.fixture
def host() -> LocalHost:
    return LocalHost({"PATH": os.environ["PATH"], "COMPOSE_FILE": "evil.yaml", "HOME": "/root"})


class TestRun:
    def test_it_tells_how_a_command_ended_and_what_it_said(self, host: LocalHost) -> None:
        done = host.run(["sh", "-c", "cat; echo no >&2; exit 3"], deadline_s=5, stdin="hello")

        assert (done.status, done.stdout, done.stderr) == (3, "hello", "no\n")

    def test_a_missing_command_is_status_127(self, host: LocalHost) -> None:
        assert host.run(["no-such-command"], deadline_s=5).status == 127

    def test_only_the_allowed_environment_is_passed_on(self, host: LocalHost) -> None:
        done = host.run(["env"], deadline_s=5, env={"RELEASE_TAG": "1"})

        names = {line.partition("=")[0] for line in done.stdout.splitlines()}
        assert names - {"PWD", "SHLVL", "_"} == {"PATH", "HOME", "RELEASE_TAG"}

    def test_standard_input_is_not_the_users(self, host: LocalHost) -> None:
        assert host.run(["cat"], deadline_s=5).stdout == ""

    def test_a_deadline_ends_the_command_and_its_children(
        self, host: LocalHost, tmp_path: Path
    ) -> None:
        pid_file = tmp_path / "pid"
        script = f"sleep 300 & echo $! > {pid_file}; wait"

        with pytest.raises(DeadlineExceeded, match="did not end within"):
            host.run(["sh", "-c", script], deadline_s=0.5)

        assert _is_gone(int(pid_file.read_text()))

    def test_foreign_bytes_do_not_break_it(self, host: LocalHost) -> None:
        assert host.run(["printf", r"\377ok"], deadline_s=5).stdout.endswith("ok")


class TestFiles:
    def test_a_written_file_is_whole_private_and_alone(
        self, host: LocalHost, tmp_path: Path
    ) -> None:
        before = os.umask(0)
        try:
            host.write(str(tmp_path / "state" / "a.json"), "text")
        finally:
            os.umask(before)

        file = tmp_path / "state" / "a.json"
        assert file.read_text() == "text"
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
        assert host.list_dir(str(file.parent)) == ("a.json",)

    def test_a_rename_gives_readers_the_old_or_the_new_text(
        self, host: LocalHost, tmp_path: Path
    ) -> None:
        path = tmp_path / "a"
        host.write(str(path), "old")
        with path.open() as reader:
            host.write(str(path), "new", mode=0o644)

            assert reader.read() == "old"
        assert path.read_text() == "new"

    def test_a_failed_write_leaves_the_old_file_and_nothing_else(
        self, host: LocalHost, tmp_path: Path
    ) -> None:
        path = tmp_path / "a"
        host.write(str(path), "old")

        with pytest.raises(UnicodeEncodeError):
            host.write(str(path), "\udc80")

        assert path.read_text() == "old"
        assert host.list_dir(str(tmp_path)) == ("a",)

    def test_lines_are_appended_privately(self, host: LocalHost, tmp_path: Path) -> None:
        path = tmp_path / "journal"
        host.append(str(path), "1\n")
        host.append(str(path), "2\n")

        assert host.read(str(path)) == "1\n2\n"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600

    def test_a_copy_keeps_bytes_and_mode(self, host: LocalHost, tmp_path: Path) -> None:
        source = tmp_path / "keystore"
        source.write_bytes(b"\xff\x00")
        source.chmod(0o640)

        host.copy(str(source), str(tmp_path / "deep" / "copy"))

        copied = tmp_path / "deep" / "copy"
        assert copied.read_bytes() == b"\xff\x00"
        assert stat.S_IMODE(copied.stat().st_mode) == 0o640
        assert host.digest(str(copied)) == host.digest(str(source))

    def test_what_is_not_there_is_none(self, host: LocalHost, tmp_path: Path) -> None:
        missing = str(tmp_path / "missing")

        assert host.read(missing) is None
        assert host.digest(missing) is None
        assert host.digest(str(tmp_path)) is None
        assert host.list_dir(missing) == ()
        host.remove(missing)

    def test_what_lies_under_a_file_is_not_there(self, host: LocalHost, tmp_path: Path) -> None:
        (tmp_path / "file").touch()

        assert host.read(str(tmp_path / "file" / "x")) is None
        assert host.list_dir(str(tmp_path / "file")) == ()

    def test_a_line_that_is_written_in_parts_is_whole(
        self, host: LocalHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write = os.write
        monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:3]))

        host.append(str(tmp_path / "journal"), "장바구니\n")

        assert host.read(str(tmp_path / "journal")) == "장바구니\n"

    def test_what_the_system_refuses_names_the_file(self, host: LocalHost, tmp_path: Path) -> None:
        folder = tmp_path / "folder"
        folder.mkdir()
        (tmp_path / "file").touch()
        under = str(tmp_path / "file" / "x")
        calls: list[Callable[[], object]] = [
            lambda: host.read(str(folder)),
            lambda: host.write(under, ""),
            lambda: host.append(under, ""),
            lambda: host.copy(str(tmp_path / "none"), str(folder / "x")),
            lambda: host.make_dir(under),
            lambda: host.remove(str(folder)),
            lambda: host.lock(under, "up").__enter__(),
        ]
        for call in calls:
            with pytest.raises(HostError, match=str(tmp_path)):
                call()

    def test_a_full_disk_is_named(
        self, host: LocalHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def full(*_: object) -> int:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(os, "write", full)

        with pytest.raises(HostError, match="journal: No space left on device") as caught:
            host.append(str(tmp_path / "journal"), "1\n")
        assert caught.value.hint.startswith("the disk is full")

    def test_who_may_not_give_files_away_owns_the_copy(
        self, host: LocalHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(*_: object) -> None:
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

        (tmp_path / "a").write_text("text")
        monkeypatch.setattr(os, "chown", refuse)
        monkeypatch.setattr(os, "geteuid", lambda: 1000)

        host.copy(str(tmp_path / "a"), str(tmp_path / "b"))

        assert host.read(str(tmp_path / "b")) == "text"


class TestLock:
    def test_the_second_is_told_who_holds_it_and_for_what(
        self, host: LocalHost, tmp_path: Path
    ) -> None:
        path = str(tmp_path / "lock")
        with host.lock(path, "up 3f2a9c1"):
            with pytest.raises(Locked, match=f"process {os.getpid()}.*up 3f2a9c1"):
                with host.lock(path, "rollback"):
                    pass

        with host.lock(path, "rollback"):
            pass

    def test_it_dies_with_its_holder(self, host: LocalHost, tmp_path: Path) -> None:
        path = str(tmp_path / "lock")
        script = (
            "import os, sys, time\n"
            "from releasekit.hosts.local import LocalHost\n"
            f"with LocalHost(os.environ).lock({path!r}, 'up'):\n"
            "    print('held', flush=True)\n"
            "    time.sleep(300)\n"
        )
        with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as holder:
            assert holder.stdout
            assert holder.stdout.readline() == b"held\n"
            with pytest.raises(Locked), host.lock(path, "up"):
                pass
            holder.send_signal(signal.SIGKILL)
            holder.wait()

            with host.lock(path, "up"):
                pass

    def test_no_child_inherits_it(self, host: LocalHost, tmp_path: Path) -> None:
        path = str(tmp_path / "lock")
        with subprocess.Popen(["sleep", "300"], close_fds=False) as bystander:
            with host.lock(path, "up"):
                with subprocess.Popen(["sleep", "300"], close_fds=False) as child:
                    pass_on = child
                    child.kill()
            with host.lock(path, "up"):
                bystander.kill()
            pass_on.wait()


@pytest.fixture
def server() -> Iterator[http.server.ThreadingHTTPServer]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/hang":
                released.wait(10)
                return
            if self.path == "/trickle":
                self.send_response(200)
                self.end_headers()
                while not released.wait(0.05):
                    self.wfile.write(b".")
                return
            status = int(self.path.strip("/"))
            self.send_response(status)
            self.send_header("Location", "/login")
            self.end_headers()
            self.wfile.write(f"host {self.headers['Host']}".encode())

        def log_message(self, *args: object) -> None:
            pass

    released = threading.Event()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as serving:
        serving.handle_error = lambda *_: None  # type: ignore[method-assign]
        thread = threading.Thread(target=serving.serve_forever)
        thread.start()
        yield serving
        released.set()
        serving.shutdown()
        thread.join()


class TestHttp:
    def get(
        self, host: LocalHost, server: http.server.ThreadingHTTPServer, path: str, **headers: str
    ) -> tuple[int | None, str, str]:
        answer, body = host.http_get(
            "127.0.0.1", server.server_port, path, headers=headers, deadline_s=0.5
        )
        return answer.status, answer.detail, body

    def test_status_and_body_are_told(
        self, host: LocalHost, server: http.server.ThreadingHTTPServer
    ) -> None:
        assert self.get(host, server, "/200", Host="shop.example")[::2] == (
            200,
            "host shop.example",
        )

    def test_a_redirect_is_told_and_not_followed(
        self, host: LocalHost, server: http.server.ThreadingHTTPServer
    ) -> None:
        assert self.get(host, server, "/301")[:2] == (301, "/login")

    @pytest.mark.parametrize("path", ["/hang", "/trickle"])
    def test_an_answer_that_does_not_come_is_none(
        self, host: LocalHost, server: http.server.ThreadingHTTPServer, path: str
    ) -> None:
        began = time.monotonic()

        status, detail, _ = self.get(host, server, path)

        assert status is None
        assert "in time" in detail
        assert time.monotonic() - began < 2

    def test_nobody_there_is_told(self, host: LocalHost) -> None:
        answer, _ = host.http_get("127.0.0.1", 1, "/", headers={}, deadline_s=1)

        assert (answer.status, answer.detail) == (None, "connection refused")


def _is_gone(pid: int) -> bool:
    for _ in range(100):
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except FileNotFoundError:
            return True
        if state == "Z":
            return True
        time.sleep(0.02)
    return False
