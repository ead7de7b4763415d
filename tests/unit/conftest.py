"""A journal on a host in memory."""

from __future__ import annotations

import pytest

from releasekit.journal import Journal
from releasekit.testing import FakeClock, FakeHost

PATH = "/state/journal.jsonl"


@pytest.fixture
def host() -> FakeHost:
    return FakeHost()


@pytest.fixture
def journal(host: FakeHost) -> Journal:
    return Journal(host, FakeClock(), PATH)
