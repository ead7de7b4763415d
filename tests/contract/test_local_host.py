"""What every host promises, on this machine."""

from __future__ import annotations

import errno
import http.server
import os
import shutil
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from releasekit.errors import DeadlineExceeded, HostError, Interrupted
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

    def test_what_has_left_its_group_and_holds_its_output_is_not_waited_for(
        self, host: LocalHost, tmp_path: Path
    ) -> None:
        pid_file = tmp_path / "pid"
        helper = f"setsid sh -c 'echo $$ > {pid_file}; exec sleep 300'"
        began = time.monotonic()

        with pytest.raises(DeadlineExceeded, match="did not end within"):
            host.run(["sh", "-c", f"{helper} & sleep 300"], deadline_s=2)

        os.kill(int(pid_file.read_text()), signal.SIGKILL)
        assert time.monotonic() - began < 30

    def test_it_can_be_stopped_with_its_children(self, host: LocalHost, tmp_path: Path) -> None:
        pid_file = tmp_path / "pid"
        script = f"cat; sleep 300 & echo $! > {pid_file}; wait"

        with pytest.raises(Interrupted):
            host.run(
                ["sh", "-c", script],
                deadline_s=60,
                is_stopped=lambda: pid_file.exists() and bool(pid_file.read_text()),
            )

        assert _is_gone(int(pid_file.read_text()))

    def test_what_may_be_stopped_ends_as_ever(self, host: LocalHost) -> None:
        done = host.run(["cat"], deadline_s=60, stdin="all of it", is_stopped=lambda: False)
        assert (done.status, done.stdout) == (0, "all of it")
        with pytest.raises(DeadlineExceeded):
            host.run(["sleep", "300"], deadline_s=0.5, is_stopped=lambda: False)

    def test_foreign_bytes_do_not_break_it(self, host: LocalHost) -> None:
        assert host.run(["printf", r"\377ok"], deadline_s=5).stdout.endswith("ok")


class TestRoom:
    def test_what_is_free_is_told_for_any_path_that_is_there(
        self, host: LocalHost, tmp_path: Path
    ) -> None:
        free, found = host.free(str(tmp_path)), os.statvfs(tmp_path)
        assert free is not None
        assert 0 < free.size <= found.f_blocks * found.f_frsize
        assert free.inodes is None or 0 < free.inodes <= found.f_files
        assert host.free(str(tmp_path / "missing")) is None

    def test_a_reserve_takes_what_it_says_of_the_disk(
        self, host: LocalHost, tmp_path: Path
    ) -> None:
        path = tmp_path / "state" / "reserve"
        host.reserve(str(path), 1024**2)
        status = path.stat()
        assert status.st_blocks * 512 >= status.st_size == 1024**2
        assert stat.S_IMODE(status.st_mode) == 0o600

    def test_a_reserve_for_which_there_is_no_room_leaves_nothing(
        self, host: LocalHost, tmp_path: Path
    ) -> None:
        free = host.free(str(tmp_path))
        assert free is not None
        with pytest.raises(HostError, match="reserve"):
            host.reserve(str(tmp_path / "reserve"), 2 * free.size)
        assert list(tmp_path.iterdir()) == []


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

    @pytest.mark.parametrize("call", ["write(path, 'new')", "copy(__file__, path)"])
    def test_what_was_left_by_a_kill_is_taken_away_by_the_next_write(
        self, host: LocalHost, tmp_path: Path, call: str
    ) -> None:
        path = tmp_path / "file"
        path.write_text("old")
        program = f"""
import os, pathlib, signal
from releasekit.hosts.local import LocalHost
path, __file__ = {str(path)!r}, {__file__!r}
pathlib.Path.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
LocalHost({{}}).{call}
"""
        killed = subprocess.run([sys.executable, "-c", program], check=False)
        assert killed.returncode == -signal.SIGKILL
        assert path.read_text() == "old"
        assert len([*tmp_path.iterdir()]) == 2
        host.write(str(path), "newer")
        assert [*tmp_path.iterdir()] == [path]

    def test_lines_are_appended_privately(self, host: LocalHost, tmp_path: Path) -> None:
        path = tmp_path / "journal"
        host.append(str(path), "1\n")
        host.append(str(path), "2\n")

        assert host.read(str(path)) == "1\n2\n"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600

    def test_a_second_name_keeps_the_file_that_is_replaced(
        self, host: LocalHost, tmp_path: Path
    ) -> None:
        """And brings it back, as it was."""
        file, second = tmp_path / "a", tmp_path / "b"
        host.write(str(file), "old", mode=0o644)
        inode = file.stat().st_ino

        host.link(str(file), str(second))
        host.write(str(file), "new")
        assert (file.read_text(), second.read_text()) == ("new", "old")
        host.rename(str(second), str(file))

        assert (file.read_text(), file.stat().st_ino) == ("old", inode)
        assert host.list_dir(str(tmp_path)) == ("a",)

    @pytest.mark.parametrize("do", [LocalHost.link, LocalHost.rename])
    def test_a_name_for_nothing_is_an_error_that_says_which(
        self, host: LocalHost, tmp_path: Path, do: Callable[[LocalHost, str, str], None]
    ) -> None:
        with pytest.raises(HostError, match=r"gone -> .*No such file"):
            do(host, str(tmp_path / "gone"), str(tmp_path / "b"))

    @pytest.mark.parametrize(
        ("size", "tail"), [(1, "\n"), (3, "\n2\n"), (4, "1\n2\n"), (99, "1\n2\n"), (0, "")]
    )
    def test_the_end_of_a_file_is_read_alone(
        self, host: LocalHost, tmp_path: Path, size: int, tail: str
    ) -> None:
        path = str(tmp_path / "journal")
        assert host.tail(path, size) == ""
        host.append(path, "1\n2\n")
        assert host.tail(path, size) == tail

    def test_an_end_that_cuts_a_character_is_read_all_the_same(
        self, host: LocalHost, tmp_path: Path
    ) -> None:
        host.append(str(tmp_path / "journal"), "장\n")
        assert host.tail(str(tmp_path / "journal"), 2).endswith("\n")

    def test_a_copy_keeps_bytes_and_mode(self, host: LocalHost, tmp_path: Path) -> None:
        source = tmp_path / "keystore"
        source.write_bytes(b"\xff\x00")
        source.chmod(0o640)

        host.copy(str(source), str(tmp_path / "deep" / "copy"))

        copied = tmp_path / "deep" / "copy"
        assert copied.read_bytes() == b"\xff\x00"
        assert stat.S_IMODE(copied.stat().st_mode) == 0o640
        assert host.digest(str(copied)) == host.digest(str(source))

    def test_a_copy_is_nobody_elses_until_it_has_the_rights_of_its_source(
        self, host: LocalHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        source, modes, real = tmp_path / "keystore", [], shutil.copy2
        source.touch(mode=0o600)

        def copy2(source: str, target: Path) -> None:
            modes.append(stat.S_IMODE(target.stat().st_mode))
            real(source, target)

        monkeypatch.setattr(shutil, "copy2", copy2)
        before = os.umask(0)
        try:
            host.copy(str(source), str(tmp_path / "copy"))
        finally:
            os.umask(before)

        assert modes == [0o600]

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
