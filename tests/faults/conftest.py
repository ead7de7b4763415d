"""One running shop for all faults: each is followed by the command that puts it right."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import pytest_runtest_makereport as pytest_runtest_makereport
from tests.e2e.shop import Shop
from tests.faults.stage import Team
from tests.faults.ways import MAIL, WATCHED, WAYS
from tests.plugins.making import write_plugin

DRAIN_S = 5
"""More than any request of the load takes, and no more: a drain that hangs is waited for."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All that is tested here belongs to the fault lane."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker("faults")


@pytest.fixture(scope="session")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Team, str, str]]:
    """A team whose first release serves, and that release and another one."""
    folder = tmp_path_factory.mktemp("faults")
    plugins = write_plugin(folder / "plugins", "watched", *WATCHED)
    with Shop.opened(folder) as opened:
        shop = opened.with_environ(PYTHONPATH=str(plugins))
        shop.configure(web=f'drain = "{DRAIN_S}s"', worker=f'drain = "{DRAIN_S}s"')
        lines = f"  {MAIL}:\n    image: releasekit-base/redis:7\n    stop_grace_period: 1s\n\n"
        shop.edit("compose.yaml", "volumes:\n  pgdata:", f"{lines}volumes:\n  pgdata:")
        first = shop.commit("Send mail")
        second = shop.commit("Say what is new", headline="Strawberries are here")
        tmp = folder / "tmp"
        tmp.mkdir()
        for sha in (second, first):
            shop.up(sha).ended(0)
        yield Team(shop, WAYS["blue-green"], tmp), first, second
