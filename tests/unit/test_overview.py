"""Status and history of a project whose run begins or ends at that very moment."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest

from releasekit.journal import Journal
from releasekit.observed import Observed
from releasekit.project import Project
from releasekit.settings import Settings
from releasekit.testing import FakeClock, FakeHost
from releasekit.workspace import Workspace

KIM = "locked by kim"
VERBS = ["status", "history"]


class Host(FakeHost):
    """Something happens `meanwhile`: right before or after the journal is read."""

    who = ""
    before: Callable[[], None] | None = None
    after: Callable[[], None] | None = None

    def holder(self, path: str) -> str:
        return self.who

    def read(self, path: str) -> str | None:
        if not path.endswith(".jsonl"):
            return super().read(path)
        before, self.before = self.before, None
        if before is not None:
            before()
        text = super().read(path)
        after, self.after = self.after, None
        if after is not None:
            after()
        return text


@dataclass
class Shop:
    """A project whose containers nobody can see."""

    host: Host

    def __post_init__(self) -> None:
        settings = Settings(project="shop", state_dir="/state")
        self.workspace = Workspace(self.host, FakeClock(), settings, "/shop", {})
        self.project = Project(self.workspace, environ={})

    @property
    def journal(self) -> Journal:
        return self.workspace.journal("shop")

    def begin(self) -> None:
        self.host.who = KIM
        self.journal.write("begin", "1", kind="up", release="a")

    def end(self) -> None:
        self.journal.write("end", "1", result="released")
        self.host.who = ""

    def is_cut_short(self, verb: str) -> bool:
        """Whether this verb says so of the run."""
        if verb == "history":
            return [entry.result for entry in self.project.history()] == ["killed"]
        return any("cut short" in problem for problem in self.project.status().problems)


@pytest.fixture
def shop(monkeypatch: pytest.MonkeyPatch) -> Shop:
    shop = Shop(Host())
    site: Any = SimpleNamespace(project="shop", observe=lambda: Observed("shop"), engine=None)
    monkeypatch.setattr(shop.workspace, "current_site", lambda: site)
    return shop


@pytest.mark.parametrize("verb", VERBS)
def test_a_run_that_has_no_end_was_cut_short_unless_it_goes_on(shop: Shop, verb: str) -> None:
    shop.begin()
    assert not shop.is_cut_short(verb)
    shop.host.who = ""
    assert shop.is_cut_short(verb)


@pytest.mark.parametrize("verb", VERBS)
def test_one_that_begins_while_somebody_looks_was_not(shop: Shop, verb: str) -> None:
    shop.host.before = shop.begin
    assert not shop.is_cut_short(verb)
    assert shop.journal.records()


@pytest.mark.parametrize("verb", VERBS)
def test_one_that_ends_while_somebody_looks_was_not(shop: Shop, verb: str) -> None:
    shop.begin()
    shop.host.after = shop.end
    assert not shop.is_cut_short(verb)
    assert shop.host.who == ""
