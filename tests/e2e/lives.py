"""What the containers of a shop's app services lived through, as Docker tells it."""

from __future__ import annotations

import json
import secrets
import subprocess
import threading
import time
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from tests.e2e.shop import DEADLINE_S, Shop, docker, service_of

EVENTS = ("start", "die", "exec_create")


@dataclass(frozen=True)
class Change:
    """A container of `service` began to run, or ended."""

    id: str
    service: str
    release: str
    began: bool


class Lives:
    """Beginnings and ends of app containers during a `with` block, none left out.

    with Lives(shop) as lives:
        shop.up(sha)
    assert max(lives.counts("web")) <= 4
    """

    def __init__(self, shop: Shop) -> None:
        self._shop = shop
        self._mark = secrets.token_hex(8)
        self._changes: list[Change] = []
        self._running: dict[str, str] = {}  # id -> service, at first
        self._are_all_told = threading.Event()

    def __enter__(self) -> Lives:
        # What happens before the events come is told too: from this moment on.
        since = f"{time.time():.9f}"
        self._running = {c.id: c.service for c in self._shop.running_app().values()}
        filters = [f"--filter=event={event}" for event in EVENTS]
        self._process = subprocess.Popen(
            ["docker", "events", "--since", since, *filters, "--format", "{{json .}}"],
            stdout=subprocess.PIPE,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            # Events come in order: when this one is here, so are all before it.
            docker("exec", f"{self._shop.name}-postgres-1", "true", self._mark)
            assert self._are_all_told.wait(DEADLINE_S), "docker does not tell its events"
        finally:
            self._process.kill()
            self._process.wait()
            self._reader.join()
            assert self._process.stdout
            self._process.stdout.close()

    def _read(self) -> None:
        assert self._process.stdout
        for line in self._process.stdout:
            said = json.loads(line)
            if said["Action"].endswith(self._mark):
                self._are_all_told.set()
            elif change := self._change(said):
                self._changes.append(change)

    def _change(self, said: dict[str, Any]) -> Change | None:
        facts = said["Actor"]["Attributes"]
        ours = (self._shop.name, f"{self._shop.name}-releases")
        is_ours = facts.get("com.docker.compose.project") in ours
        if not (is_ours and said["Action"] in ("start", "die")):
            return None
        release = facts.get("releasekit.release", "")
        return Change(said["Actor"]["ID"], service_of(facts), release, said["Action"] == "start")

    def counts(self, service: str) -> list[int]:
        """How many containers of the service ran: at first, and after each change."""
        running = {key for key, owner in self._running.items() if owner == service}
        counts = [len(running)]
        for change in self._changes:
            if change.service == service:
                (running.add if change.began else running.discard)(change.id)
                counts.append(len(running))
        return counts

    def began(self, release: str) -> list[str]:
        """The services of this release's containers, in the order in which they began."""
        return [c.service for c in self._changes if c.began and c.release.startswith(release)]
