"""This machine as the host: commands, files, probes and the lock."""

from __future__ import annotations

import errno
import hashlib
import http.client
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from releasekit import naming
from releasekit.errors import DeadlineExceeded, HostError, Interrupted
from releasekit.hosts import locking, processes
from releasekit.hosts.public import fetch
from releasekit.ports import Answer, Completed, Free, Page

PASSED_ON = (
    "PATH HOME USER LOGNAME LANG LC_ALL TZ TMPDIR XDG_CONFIG_HOME XDG_RUNTIME_DIR "
    "DOCKER_HOST DOCKER_CONTEXT DOCKER_CONFIG DOCKER_CERT_PATH DOCKER_TLS_VERIFY"
).split()
"""What commands get of the caller's environment: COMPOSE_FILE and the like would change what
docker does behind the settings' back. Only reading the compose files takes all of it, which
interpolate it (`compose.resolve`)."""

BODY_LIMIT = 64 * 1024
"""Bytes of an answer's body that a probe reads: an application may send gigabytes."""
LOOK_EVERY_S = 0.2
"""How often a command that may be stopped is looked after."""
KILLED_S = 2.0
"""How long a command may take to be gone once it was killed."""


class MonotonicClock:
    """The real clock; it never goes back, whatever happens to the wall clock. The one place that
    lets time pass, and asks what day it is."""

    def utc(self) -> str:
        return datetime.now(UTC).isoformat(timespec="milliseconds")

    def now(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)  # the one place that lets time pass


class LocalHost:
    """`ports.Host` for this machine. `environ` is the caller's environment."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = {key: environ[key] for key in PASSED_ON if key in environ}
        self._who = naming.who(environ, self.name)
        self._locks: tuple[str, ...] = ()
        """Those that are held now."""

    @property
    def name(self) -> str:
        return socket.gethostname()

    def run(
        self,
        argv: Sequence[str],
        *,
        deadline_s: float,
        stdin: str = "",
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
        is_stopped: Callable[[], bool] | None = None,
    ) -> Completed:
        # A session of its own: Ctrl-C on the terminal reaches releasekit, which decides, and not
        # a `docker compose up` that would stop half-way.
        try:
            child = subprocess.Popen(
                list(argv),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env={**self._environ, **(env or {}), **processes.mark(self._locks)},
                cwd=cwd,
                start_new_session=True,
            )
        except OSError as error:
            return Completed(127, "", f"{argv[0]}: {error.strerror}")  # as a shell has it
        try:
            out, err = _answered(child, stdin.encode(), deadline_s, is_stopped)
        except subprocess.TimeoutExpired:
            _kill_group(child)
            raise DeadlineExceeded(
                f"`{_spoken(argv)}` did not end within {deadline_s:g} s"
            ) from None
        except BaseException:
            _kill_group(child)
            raise
        return Completed(child.returncode, _text(out), _text(err))

    def read(self, path: str) -> str | None:
        with _told(path), suppress(FileNotFoundError, NotADirectoryError):
            return Path(path).read_text(encoding="utf-8", errors="replace")
        return None

    def tail(self, path: str, size: int) -> str:
        with _told(path), suppress(FileNotFoundError, NotADirectoryError):
            with Path(path).open("rb") as file:
                file.seek(max(file.seek(0, os.SEEK_END) - size, 0))
                return _text(file.read())
        return ""

    def write(self, path: str, text: str, *, mode: int = 0o600, lasting: bool = True) -> None:
        with _told(path):
            self._write(Path(path), text, mode, lasting=lasting)

    def _write(self, target: Path, text: str, mode: int, *, lasting: bool) -> None:
        self.make_dir(str(target.parent))
        part = _part(target)
        try:
            descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fchmod(file.fileno(), mode)
                if lasting:
                    os.fsync(file.fileno())
            part.replace(target)
        except BaseException:
            part.unlink(missing_ok=True)
            raise
        if lasting:
            _sync_dir(target.parent)

    def append(self, path: str, text: str) -> None:
        with _told(path):
            self._append(path, text.encode())

    def _append(self, path: str, data: bytes) -> None:
        is_new = not Path(path).exists()
        if is_new:
            self.make_dir(str(Path(path).parent))
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            while data:  # a full disk takes a part of it before it takes nothing
                data = data[os.write(descriptor, data) :]
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        if is_new:
            _sync_dir(Path(path).parent)

    def digest(self, path: str) -> str | None:
        with _told(path):
            if not Path(path).is_file():
                return None
            return hashlib.sha256(Path(path).read_bytes()).hexdigest()

    def copy(self, source: str, target: str) -> None:
        self.make_dir(str(Path(target).parent))
        with _told(f"{source} -> {target}"):
            status = Path(source).stat()
            temporary = _part(Path(target))
            temporary.touch(mode=0o600)  # nobody else's, until it has the rights of the source
            shutil.copy2(source, temporary)
            # Only root may give a file away; anybody else's copy is their own.
            with suppress(*([PermissionError] if os.geteuid() != 0 else [])):
                os.chown(temporary, status.st_uid, status.st_gid)
            temporary.replace(target)

    def make_dir(self, path: str, *, mode: int = 0o700) -> None:
        folder = Path(path)
        with _told(path):
            if folder.is_dir():
                return
            self.make_dir(str(folder.parent))
            with suppress(FileExistsError):
                folder.mkdir(mode=0o700)
                folder.chmod(mode)

    def remove(self, path: str) -> None:
        with _told(path):
            Path(path).unlink(missing_ok=True)

    def free(self, path: str) -> Free | None:
        with suppress(OSError):
            found = os.statvfs(path)
            inodes = found.f_favail if found.f_files else None
            return Free(found.f_bavail * found.f_frsize, inodes)
        return None

    def reserve(self, path: str, size: int) -> None:
        self.make_dir(str(Path(path).parent))
        with _told(path):
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
            try:
                os.posix_fallocate(descriptor, 0, size)
            except OSError:
                Path(path).unlink()
                raise
            finally:
                os.close(descriptor)

    def link(self, path: str, name: str) -> None:
        with _told(f"{path} -> {name}"):
            Path(name).hardlink_to(path)

    def rename(self, path: str, name: str) -> None:
        with _told(f"{path} -> {name}"):
            Path(path).replace(name)
            _sync_dir(Path(name).parent)

    def list_dir(self, path: str) -> tuple[str, ...]:
        with _told(path), suppress(FileNotFoundError, NotADirectoryError):
            return tuple(sorted(entry.name for entry in Path(path).iterdir()))
        return ()

    def http_get(
        self,
        address: str,
        port: int,
        path: str,
        *,
        headers: Mapping[str, str],
        deadline_s: float,
    ) -> tuple[Answer, str]:
        connection = http.client.HTTPConnection(address, port, timeout=deadline_s)
        ends = time.monotonic() + deadline_s
        try:
            connection.request("GET", path, headers={"Connection": "close", **headers})
            response = connection.getresponse()
            body = _read_body(response, ends)
            return Answer(response.status, response.getheader("Location") or ""), body
        except (OSError, http.client.HTTPException) as error:
            return Answer(None, _reason(error)), ""
        finally:
            connection.close()

    def fetch(self, url: str, *, deadline_s: float) -> Page:
        return fetch(url, deadline_s)

    @contextmanager
    def lock(
        self,
        path: str,
        purpose: str,
        *,
        wait_s: float = 0.0,
        on_wait: Callable[[str], None] = lambda _: None,
    ) -> Iterator[None]:
        self.make_dir(str(Path(path).parent))
        with _told(path):
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            clock = MonotonicClock()
            signed = locking.signature(self._who, purpose, clock.utc())
            with _told(path):
                locking.claim(descriptor, signed, clock, wait_s=wait_s, on_wait=on_wait)
        except BaseException:
            os.close(descriptor)
            raise
        self._locks = (*self._locks, path)
        try:
            yield
        finally:
            self._locks = tuple(held for held in self._locks if held != path)
            locking.release(descriptor)

    def holder(self, path: str) -> str:
        with _told(path):
            return locking.holder(path)

    def left_behind(self, lock: str) -> tuple[str, ...]:
        found = processes.running_under(lock)
        # What one of them has started in turn goes without saying.
        pids = {process.pid for process in found}
        return tuple(str(process) for process in found if process.parent not in pids)

    def end_left_behind(self, lock: str) -> None:
        for process in processes.running_under(lock):
            processes.kill(process, lock)


@contextmanager
def _told(path: str) -> Iterator[None]:
    """Raise what the system refuses as a `HostError` that names `path`."""
    try:
        yield
    except OSError as error:
        is_full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        raise HostError(
            f"{path}: {error.strerror or error}",
            hint="the disk is full: `df -h` shows which; `docker system df` what Docker holds of it"
            if is_full
            else "",
        ) from error


def _answered(
    child: subprocess.Popen[bytes],
    stdin: bytes,
    deadline_s: float,
    is_stopped: Callable[[], bool] | None,
) -> tuple[bytes, bytes]:
    """What `child` prints until it ends; raises `TimeoutExpired` or `Interrupted`."""
    if is_stopped is None:
        return child.communicate(stdin, timeout=deadline_s)
    ends = time.monotonic() + deadline_s
    given: bytes | None = stdin
    while True:
        left = ends - time.monotonic()
        try:
            return child.communicate(given, timeout=min(left, LOOK_EVERY_S))
        except subprocess.TimeoutExpired:
            if is_stopped():
                raise Interrupted("stopped on request") from None
            if left <= LOOK_EVERY_S:
                raise
        given = None  # it is passed on all the same


def _part(target: Path) -> Path:
    """The name of `target` while it is written. It is always the same: what a run that was killed
    has left is taken away by the next one that comes so far."""
    part = target.with_name(f".{target.name}.part")
    part.unlink(missing_ok=True)
    return part


def _kill_group(child: subprocess.Popen[bytes]) -> None:
    """End `child` and what it started, but for what has left its group: that may hold its pipes
    open for as long as it likes, and is not waited for."""
    with suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    with suppress(subprocess.TimeoutExpired):
        child.communicate(timeout=KILLED_S)
    for pipe in (child.stdin, child.stdout, child.stderr):
        if pipe is not None:
            pipe.close()
    child.poll()


def _spoken(argv: Sequence[str]) -> str:
    """The command's first words: enough to know it, too short to hold a secret."""
    return " ".join(argv[:4]) + (" …" if len(argv) > 4 else "")


def _text(data: bytes) -> str:
    return data.decode("utf-8", errors="replace")


def _sync_dir(folder: Path) -> None:
    """Make a rename or a new file in `folder` survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _read_body(response: http.client.HTTPResponse, ends: float) -> str:
    """The body's start; raises TimeoutError for one that trickles in past the deadline."""
    body = b""
    while len(body) < BODY_LIMIT:
        if time.monotonic() > ends:
            raise TimeoutError("the answer does not end")
        chunk = response.read1(4096)
        if not chunk:
            break
        body += chunk
    return _text(body)


def _reason(error: Exception) -> str:
    match error:
        case TimeoutError():
            return "no answer in time"
        case ConnectionRefusedError():
            return "connection refused"
        case http.client.RemoteDisconnected() | ConnectionResetError():
            return "closed the connection without an answer"
        case OSError():
            return error.strerror or str(error)
        case _:
            return f"no HTTP answer ({type(error).__name__})"
