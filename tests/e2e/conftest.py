"""One running shop for all tests that leave it as they found it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.shop import Shop
from tests.e2e.trio import API, WORKER, add_api, add_location, take_check


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """A shop whose first release is up."""
    with Shop.opened(tmp_path_factory.mktemp("stack")) as shop:
        shop.up().ended(0)
        yield shop


@pytest.fixture(scope="session")
def old_shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """A running shop behind nginx 1.22, which cannot spare idle connections in a reload."""
    with Shop.opened(tmp_path_factory.mktemp("old"), nginx="1.22") as shop:
        shop.up().ended(0)
        yield shop


@pytest.fixture(scope="session")
def trio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """A running shop with an api besides, and a strategy for each of its three services.

    Its worker may never run beside another, and has no health check.
    """
    with Shop.opened(tmp_path_factory.mktemp("trio")) as shop:
        add_api(shop)
        add_location(shop)
        take_check(shop)
        shop.configure(api=API, worker=WORKER)
        shop.up(shop.commit("Add an api")).ended(0)
        yield shop


@pytest.fixture
def shop(stack: Shop) -> Shop:
    """The same, and its first release serves, whatever the test before has done."""
    stack.up(stack.first).ended(0)
    return stack


@pytest.fixture
def empty_shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """A shop of this test's own, of which nothing runs."""
    with Shop.opened(tmp_path_factory.mktemp("empty")) as shop:
        yield shop


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Show what the containers logged beside a failure."""
    report = yield
    if report.failed:
        for value in getattr(item, "funcargs", {}).values():
            if isinstance(value, Shop):
                report.sections.append((f"{value.name} when it failed", value.report()))
    return report
