"""Looks, all the time, for secrets where anybody may read: on command lines, and in open files."""

from __future__ import annotations

import base64
import threading
from pathlib import Path
from urllib.parse import quote

from tests.e2e.modes import exposed
from tests.faults.stage import command_lines

PAUSE_S = 0.005


class Watcher:
    """What was seen during a `with` block: command lines with one of the `secrets`, and files and
    folders under `state` that others than their owner can get at."""

    def __init__(self, secrets: frozenset[str], state: Path) -> None:
        self._secrets = forms(secrets)
        self._state = state
        self.told: set[str] = set()
        self.exposed: set[str] = set()
        self.commands: set[str] = set()
        """All command lines of docker: that there are any shows that it looks in time."""
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> Watcher:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(PAUSE_S):
            lines = set(command_lines().values())
            self.told |= {line for line in lines if any(s in line for s in self._secrets)}
            self.commands |= {line for line in lines if line.startswith("docker\0")}
            self.exposed |= exposed(self._state)


def forms(secrets: frozenset[str]) -> frozenset[str]:
    """The secrets as they are, in URLs and as base64."""
    coded = {base64.b64encode(secret.encode()).decode().rstrip("=") for secret in secrets}
    return secrets | {quote(secret, safe="") for secret in secrets} | coded
