"""The lock of this machine: the kernel's own, which dies with its holder however that dies.

flock belongs to the open file, which no child inherits (PEP 446). What the file says is only for
people, and for `holder`: who holds the lock, and which process that is.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from releasekit.errors import DeadlineExceeded, Locked
from releasekit.hosts.processes import identity
from releasekit.naming import minute
from releasekit.ports import Clock
from releasekit.waiting import wait_until

GRACE_S = 0.2
"""How long nobody may know who the holder is: it has just come, or is about to go."""
LONGEST_PAUSE_S = 0.1
UNKNOWN = "locked by another releasekit, which is just starting or cannot sign on a full disk"
LOCKS = Path("/proc/locks")


def signature(who: Mapping[str, str], purpose: str, since: str) -> str:
    """What the holder writes into the lock's file; `since` is UTC in ISO 8601."""
    facts = {**who, "pid": os.getpid(), "process": identity(os.getpid())}
    return json.dumps({**facts, "purpose": purpose, "since": since}, ensure_ascii=False)


def claim(
    descriptor: int, signed: str, clock: Clock, *, wait_s: float, on_wait: Callable[[str], None]
) -> None:
    """Take the lock on the open file, waiting `wait_s` for it at most, and sign it.

    `on_wait` is told who holds it, several times a second. Raises `Locked`.
    """
    ends = clock.now() + wait_s

    def look() -> str:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            found = _spoken(os.pread(descriptor, 4096, 0))
            if found and clock.now() >= ends:
                waited = f" (waited {wait_s:g} s)" if wait_s else ""
                raise Locked(found + waited) from None
            on_wait(found or UNKNOWN)
            return found or UNKNOWN
        return ""

    with_grace = max(wait_s, GRACE_S)
    try:
        wait_until(look, deadline_s=with_grace, clock=clock, longest_pause_s=LONGEST_PAUSE_S)
    except DeadlineExceeded as error:
        raise Locked(error.message) from None
    with suppress(OSError):  # a full disk takes no name, and the lock holds all the same
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, signed.encode(), 0)


def release(descriptor: int) -> None:
    """Let go of the lock, after whose file names nobody any more."""
    with suppress(OSError):
        os.ftruncate(descriptor, 0)
    os.close(descriptor)


def holder(path: str) -> str:
    """Who holds the lock now, as people read it; "" for nobody. To try the lock for this would
    refuse it to whoever wants it at that moment."""
    try:
        signed = Path(path).read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return ""
    facts = _facts(signed)
    process = str(facts.get("process", ""))
    pid = facts.get("pid")
    if isinstance(pid, int) and process == identity(pid) != "":
        return _spoken(signed)
    return UNKNOWN if _is_locked(path) else ""


def _is_locked(path: str) -> bool:
    """Whether the kernel lists it among its locks."""
    try:
        locks, status = LOCKS.read_text(), Path(path).stat()
    except OSError:
        return False
    device = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}"
    inode = f"{device}:{status.st_ino}"
    return any("FLOCK" in words and inode in words for words in map(str.split, locks.splitlines()))


def _facts(signed: bytes) -> Mapping[str, object]:
    try:
        facts = json.loads(signed)
    except ValueError:
        return {}
    return facts if isinstance(facts, dict) else {}


def _spoken(signed: bytes) -> str:
    facts = _facts(signed)
    if not {"by", "origin", "pid", "purpose", "since"} <= facts.keys():
        return ""
    since = minute(str(facts["since"]))
    return (
        f"locked by {facts['by']} from {facts['origin']} (process {facts['pid']}): "
        f"{facts['purpose']}, since {since}"
    )
