"""This machine as the host: commands, files, probes and the lock."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from releasekit.errors import DeadlineExceeded, HostError, Locked
from releasekit.ports import Answer, Completed

PASSED_ON = (
    "PATH HOME USER LOGNAME LANG LC_ALL TZ TMPDIR XDG_CONFIG_HOME XDG_RUNTIME_DIR "
    "DOCKER_HOST DOCKER_CONTEXT DOCKER_CONFIG DOCKER_CERT_PATH DOCKER_TLS_VERIFY"
).split()
"""What commands get of the caller's environment: COMPOSE_FILE and the like would change what
docker does behind the settings' back. Only reading the compose files takes all of it, which
interpolate it (`compose.resolve`)."""

BODY_LIMIT = 64 * 1024
"""Bytes of an answer's body that a probe reads: an application may send gigabytes."""


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
        self._user = environ.get("SUDO_USER") or environ.get("USER") or str(os.getuid())

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
    ) -> Completed:
        # A session of its own: Ctrl-C on the terminal reaches releasekit, which decides, and not
        # a `docker compose up` that would stop half-way.
        try:
            child = subprocess.Popen(
                list(argv),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env={**self._environ, **(env or {})},
                cwd=cwd,
                start_new_session=True,
            )
        except OSError as error:
            return Completed(127, "", f"{argv[0]}: {error.strerror}")  # as a shell has it
        try:
            out, err = child.communicate(stdin.encode(), timeout=deadline_s)
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

    def write(self, path: str, text: str, *, mode: int = 0o600) -> None:
        with _told(path):
            self._write(Path(path), text, mode)

    def _write(self, target: Path, text: str, mode: int) -> None:
        self.make_dir(str(target.parent))
        descriptor, temporary = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fchmod(file.fileno(), mode)
                os.fsync(file.fileno())
            Path(temporary).replace(target)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
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
        temporary = f"{target}.{os.getpid()}"
        with _told(f"{source} -> {target}"):
            shutil.copy2(source, temporary)
            status = Path(source).stat()
            # Only root may give a file away; anybody else's copy is their own.
            with suppress(*([PermissionError] if os.geteuid() != 0 else [])):
                os.chown(temporary, status.st_uid, status.st_gid)
            Path(temporary).replace(target)

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

    @contextmanager
    def lock(self, path: str, purpose: str) -> Iterator[None]:
        # flock belongs to the open file: the kernel lets go of it when this process dies, however
        # it dies, and no child inherits it (PEP 446).
        self.make_dir(str(Path(path).parent))
        with _told(path):
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            with _told(path):
                _claim(descriptor, _signature(self._user, purpose))
            yield
        finally:
            os.close(descriptor)


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


def _claim(descriptor: int, signature: str) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise Locked(_holder(os.read(descriptor, 4096))) from None
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, signature.encode(), 0)


def _kill_group(child: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.communicate()


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


def _signature(user: str, purpose: str) -> str:
    since = time.strftime("%Y-%m-%d %H:%M:%S %Z")
    return json.dumps(
        {"user": user, "pid": os.getpid(), "purpose": purpose, "since": since}, ensure_ascii=False
    )


def _holder(signature: bytes) -> str:
    try:
        owner = json.loads(signature)
        return (
            f"locked by {owner['user']} (process {owner['pid']}): {owner['purpose']}, "
            f"since {owner['since']}"
        )
    except (ValueError, KeyError, TypeError):
        return "locked by another releasekit that is just starting"
