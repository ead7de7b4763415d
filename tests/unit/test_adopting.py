"""A stack that plain compose started serves on, wherever its adoption is cut short."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from contextlib import suppress
from itertools import count
from typing import Any

import pytest

from releasekit import adopting
from releasekit import journal as journals
from releasekit.adopting import Adopted, strangers
from releasekit.bundle import Bundle, BundledService
from releasekit.errors import HostError, ReleasekitError
from releasekit.events import ignore
from releasekit.observed import Observed
from releasekit.ports import Completed
from releasekit.preparing import Pinned
from releasekit.recovering import Recovery
from releasekit.release import Release
from releasekit.run import Run
from releasekit.settings import Settings
from releasekit.strategies.mixed import Mix
from releasekit.strategies.recreate import Recreate
from releasekit.target import Service
from releasekit.testing import FakeClock, Killed
from releasekit.workspace import Workspace
from tests.unit.scripted import Script

SHA = "a" * 40
A = f"{SHA}~1"
BUNDLE = Bundle(
    id=A,
    release=Release(SHA),
    project="shop",
    folder="/srv/shop",
    model={"name": "shop", "services": {"web": {"image": "shop:a"}}, "networks": {}},
    services=(BundledService(Service("web")),),
    backing=(),
    images={"web": "sha256:1"},
)
WEB = {
    "Id": "c1",
    "Name": "/shop-web-1",
    "Image": "sha256:1",
    "Config": {"Labels": {"com.docker.compose.service": "web"}},
    "State": {"Status": "running"},
}


class Host(Script):
    """One container of plain compose's runs on it. The file operation number `ends_at` fails with
    `error`, and all that come after it until it is `well` again."""

    def __init__(self, error: Exception, ends_at: int) -> None:
        super().__init__(ls=Completed(0, "c1 shop\n", ""))
        self.error, self.left = error, ends_at
        self.runs(WEB)

    def runs(self, container: Mapping[str, object]) -> None:
        self.answers["inspect"] = Completed(0, json.dumps([container]), "")

    @property
    def changed(self) -> list[list[str]]:
        """The commands that do more than look."""
        return [argv for argv in self.asked if not {*argv} & self.answers.keys()]

    def well(self) -> None:
        self.left = 10**9

    def write(self, path: str, text: str, *, mode: int = 0o600, lasting: bool = True) -> None:
        self._strike()
        super().write(path, text, mode=mode, lasting=lasting)

    def append(self, path: str, text: str) -> None:
        self._strike()
        super().append(path, text)

    def _strike(self) -> None:
        self.left -= 1
        if self.left <= 0:
            raise self.error


class Shop:
    def __init__(self, error: Exception, ends_at: int) -> None:
        self.host, self.clock = Host(error, ends_at), FakeClock()
        settings = Settings(project="shop")
        environ = {"XDG_STATE_HOME": "/state"}
        self.workspace = Workspace(self.host, self.clock, settings, "/srv/shop", environ)
        self.site = self.workspace.site(BUNDLE)

    def adopt(self) -> None:
        adopted = Adopted(Pinned(BUNDLE, {}))
        adopted.record(self.site.store, self.site.journal, "run-1", {"by": "kim"})

    def recover(self) -> str:
        def begun(kind: str, project: str, release: Release) -> Run:
            return Run(kind, project, release, self.workspace, ignore, {"by": "kim"})

        # The compose file is there, and says what the bundle does.
        self.workspace.current_site = lambda: self.site  # type: ignore[method-assign]
        back: Any = lambda *_: Mix.single(Recreate())  # noqa: E731
        owned: Any = lambda *_: None  # noqa: E731
        return Recovery(self.workspace, "shop", begun, back, owned).done(threading.Event()).result

    @property
    def records(self) -> tuple[Mapping[str, Any], ...]:
        return self.site.journal.records()

    def observe(self) -> Observed:
        return self.site.observe()


@pytest.mark.parametrize("error", [Killed(), HostError("No space left on device")])
def test_wherever_an_adoption_is_cut_short_recovery_touches_nothing_and_the_next_goes_on(
    error: Exception,
) -> None:
    for ends_at in count(1):
        shop = Shop(error, ends_at)
        try:
            shop.adopt()
        except (Killed, ReleasekitError):
            was_cut = True
        else:
            was_cut = False
        shop.host.well()
        assert shop.recover() == "nothing-to-do", ends_at
        assert shop.host.changed == [], ends_at
        assert journals.open_run(shop.records) is None, ends_at
        seen = shop.observe()
        is_known = (seen.current, [r.release for r in seen.replicas]) == (A, [A])
        is_as_before = seen.current == "" and [r.id for r in strangers(seen)] == ["c1"]
        assert is_known or is_as_before, ends_at
        shop.adopt()
        assert shop.observe().current == A, ends_at
        if not was_cut:
            break
    assert ends_at > len(shop.records) > 0


def test_what_was_taken_over_and_is_down_since_is_brought_back() -> None:
    """As after a power cut between the record of it and the record of its end."""
    for ends_at in count(1):
        shop = Shop(Killed(), ends_at)
        with suppress(Killed):
            shop.adopt()
        shop.host.well()
        if journals.committed(shop.records):
            break
    assert journals.open_run(shop.records) is not None
    shop.host.runs({**WEB, "State": {"Status": "exited"}})
    with pytest.raises(ReleasekitError):  # there is no docker here that would start it
        shop.recover()
    assert "Start" in [record.get("step") for record in shop.records]


def test_what_is_merely_stored_tells_nobody_whose_a_container_is() -> None:
    """Neither recovery nor a way back may take it for a release's leftover."""
    shop = Shop(Killed(), 10**9)
    shop.site.store.save(BUNDLE, {})
    shop.site.journal.write("begin", "run-1", kind="up", release=A)
    assert [r.release for r in shop.observe().replicas] == [""]
    assert shop.recover() == "nothing-to-do"
    assert shop.host.changed == []


def test_where_the_journal_is_damaged_what_was_taken_over_counts_by_sight() -> None:
    shop = Shop(Killed(), 10**9)
    shop.adopt()
    path = shop.workspace.place("shop").journal
    shop.host.files[path] = "x\n"
    assert not shop.site.journal.read().is_whole
    seen = shop.observe()
    assert (seen.current, [r.release for r in seen.replicas]) == (A, [A])


def test_an_adoption_of_nothing_known_is_ended_too() -> None:
    """A file that was damaged may have any record."""
    shop = Shop(Killed(), 10**9)
    shop.site.journal.write("begin", "run-1", kind=adopting.KIND)
    assert shop.recover() == "nothing-to-do"
    assert journals.open_run(shop.records) is None


def test_what_plain_compose_starts_after_a_release_is_not_adopted() -> None:
    shop = Shop(Killed(), 10**9)
    shop.adopt()
    assert strangers(shop.observe()) == []
    assert [r["kind"] for r in shop.records if r["event"] == "begin"] == [adopting.KIND]
