"""A full disk, full inodes, no memory: no release begins, and a rollback still goes."""

from __future__ import annotations

import errno
import subprocess
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest

from tests.e2e.shop import Shop, assert_none_lost, assert_serves

pytestmark = [pytest.mark.e2e, pytest.mark.faults]

DISK = "size=96m,nr_inodes=300"
CHUNK = 1024**2


@pytest.fixture(scope="module")
def confined(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """A running shop whose state is on a small disk of its own."""
    with Shop.opened(tmp_path_factory.mktemp("room")) as shop:
        shop.state.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", DISK, "none", shop.state], check=True)
        try:
            shop.up().ended(0)
            yield shop
        finally:
            # nginx has it mounted too.
            subprocess.run(["umount", "--lazy", shop.state], check=True)


@pytest.fixture
def shop(confined: Shop) -> Iterator[Shop]:
    """The same: its second release serves, and the first one is kept."""
    filling = confined.state / "filling"
    filling.mkdir()
    confined.up(confined.first).ended(0)
    confined.up(confined.commit("Say what is new")).ended(0)
    yield confined
    empty(filling)
    filling.rmdir()


def empty(folder: Path) -> None:
    for path in folder.iterdir():
        path.unlink()


def fill_bytes(folder: Path) -> None:
    """Take all room, to the last page."""
    with (folder / "bytes").open("wb", buffering=0) as file:
        for size in (CHUNK, 4096, 1):
            until_full(lambda size=size: file.write(b"x" * size))  # type: ignore[misc]


def fill_inodes(folder: Path) -> None:
    """Take all inodes."""
    numbers = count()
    until_full(lambda: (folder / str(next(numbers))).touch())


def until_full(take: Callable[[], object]) -> None:
    while True:
        try:
            take()
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            return


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fill", "has", "needs"),
    [(fill_bytes, "has 0 B free", "needs 32 MiB"), (fill_inodes, "has 0 inodes free", "needs 100")],
    ids=["bytes", "inodes"],
)
def test_on_a_full_disk_no_release_begins_and_a_rollback_goes(
    shop: Shop, fill: Callable[[Path], None], has: str, needs: str
) -> None:
    filling, second = shop.state / "filling", shop.serving()
    third = shop.commit("Say more")
    fill(filling)
    containers, files = shop.containers(), shop.files()
    refused = shop.up(third).ended(2).result
    assert refused["error"] == "NoRoom"
    assert f"disk: {shop.state / shop.name}, which keeps releasekit's state" in refused["message"]
    assert f"{has}; a release {needs}" in refused["message"]
    assert "`releasekit rollback`" in refused["hint"]
    assert (shop.containers(), shop.files()) == (containers, files)
    assert shop.status()["problems"] == []

    with shop.load() as load:
        ran = shop.rollback().ended(0)
    assert_none_lost(shop, load.report)
    warnings = [event["message"] for event in ran.events if event["event"] == "warned"]
    assert [w for w in warnings if "the reserve for a way back is used up" in w]
    assert_serves(shop, shop.first)
    assert shop.history()[0]["result"] == "rolled-back"

    empty(filling)
    shop.up(second).ended(0)
    assert (shop.state / shop.name / "reserve").exists()
    assert_serves(shop, second)


def test_what_does_not_fit_beside_what_runs_is_refused_with_the_numbers(
    stack: Shop, tmp_path: Path
) -> None:
    team = stack.checkout(tmp_path / "team")
    team.edit("compose.prod.yaml", "mem_limit: 256m", "mem_limit: 900g")
    second = team.commit("Take it all")
    containers = team.containers()
    refused = team.up(second).ended(2).result
    assert refused["error"] == "NoRoom"
    assert "web 1 x 900 GiB (limit)" in refused["message"]
    assert "may take 900 GiB, and the host has" in refused["message"]
    assert "`--strategy recreate`" in refused["hint"]
    assert "`--ignore-memory`" in refused["hint"]
    assert team.containers() == containers
    team.up(second, "--ignore-memory").ended(0)
    stack.up(stack.first).ended(0)
