"""Processes of this machine: which one is which, and the commands that outlive who ran them.

A command that runs under a lock has the lock's path in its environment, from its very first
moment, and so have those that it starts in turn: `docker` leaves the work to `docker-compose`.
No record of process ids could be as whole, or so sure to mean nobody else.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

VARIABLE = "RELEASEKIT_LOCK"
"""Names the locks under which a command runs, in the environment of that command."""
STARTED = "docker"
"""What the names of our commands begin with. A key agent, say, that one of them has called into
life and that stays for others, is none of them."""
PROC = Path("/proc")
WORDS = 6


def identity(pid: int) -> str:
    """What tells this process from any other, also after a reboot; "" when there is none."""
    try:
        boot = (PROC / "sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""
    facts = _stat(pid)
    return f"{pid} {facts[19]} {boot}" if facts and facts[0] != "Z" else ""


@dataclass(frozen=True, slots=True)
class Process:
    """A running process; `command` are its first words, without options."""

    pid: int
    parent: int
    command: str

    def __str__(self) -> str:
        return f"`{self.command}` (process {self.pid})"


def mark(locks: Sequence[str]) -> dict[str, str]:
    """The environment of a command that runs under `locks`."""
    return {VARIABLE: os.pathsep.join(locks)} if locks else {}


def running_under(lock: str) -> tuple[Process, ...]:
    """Our commands that were started under this lock, and run still."""
    return tuple(_processes(lock))


def kill(process: Process, lock: str) -> None:
    """End it, if it is still the command that was started under this lock."""
    with suppress(ProcessLookupError):
        descriptor = os.pidfd_open(process.pid)  # from here on the number means no other process
        try:
            if _is_of(process.pid, lock):
                signal.pidfd_send_signal(descriptor, signal.SIGKILL)
        finally:
            os.close(descriptor)


def _processes(lock: str) -> Iterator[Process]:
    for folder in PROC.glob("[0-9]*"):
        pid = int(folder.name)
        if _is_of(pid, lock) and (facts := _stat(pid)):
            yield Process(pid, int(facts[1]), _spoken(_read(pid, "cmdline")))


def _is_of(pid: int, lock: str) -> bool:
    variables = _read(pid, "environ").split("\0")
    value = next((v for v in variables if v.startswith(f"{VARIABLE}=")), "")
    locks = value.removeprefix(f"{VARIABLE}=").split(os.pathsep)
    return lock in locks and _read(pid, "comm").startswith(STARTED) and _is_own(pid)


def _is_own(pid: int) -> bool:
    """Whether it is this user's: anybody can put anything into their own environment."""
    with suppress(OSError):
        return (PROC / str(pid)).stat().st_uid == os.geteuid()
    return False


def _stat(pid: int) -> list[str]:
    """The fields of its `stat` from the state on; none when it is gone."""
    return _read(pid, "stat").rpartition(")")[2].split()


def _spoken(cmdline: str) -> str:
    words = [word for word in cmdline.split("\0") if word and not word.startswith("-")]
    return " ".join([words[0].rpartition("/")[2], *words[1:WORDS]]) if words else STARTED


def _read(pid: int, file: str) -> str:
    """The file of that process; "" when it is gone, or another user's."""
    with suppress(OSError):
        return os.fsdecode((PROC / str(pid) / file).read_bytes())
    return ""
