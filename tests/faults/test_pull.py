"""Images that cannot be fetched: nothing is changed, and it says why. A real registry with a
password, which nobody gets to read."""

from __future__ import annotations

import os
import secrets
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from releasekit.compose.docker import Docker
from releasekit.compose.manifest import pull_sizes
from releasekit.hosts.local import LocalHost
from tests.e2e.shop import DEADLINE_S, Ran, Running, docker
from tests.faults.registry import Registry
from tests.faults.stage import Pair, Team, assert_settled, command_lines, processes_of
from tests.faults.watcher import Watcher, forms

pytestmark = pytest.mark.e2e

LEAVES_S = 5.0
BIG = 8 * 1024 * 1024
"""Bytes of a layer of the image, which no compression makes smaller."""
PART = BIG // 4


@dataclass(frozen=True)
class Remote:
    """A team whose images come from a registry, and a release that is only there."""

    team: Team
    registry: Registry
    sha: str

    def environ(self, password: str) -> dict[str, str]:
        return {"DOCKER_CONFIG": self.registry.login(password)}

    def up(self, sha: str, *args: str, password: str = "") -> Ran:
        given = self.environ(password or self.registry.password)
        return self.team.shop.up(sha, *args, **given)

    @property
    def image(self) -> str:
        return f"{self.registry.address}/shop:{self.sha}"


@pytest.fixture
def remote(pair: Pair, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Remote]:
    team, first, _ = pair
    team.shop.up(first).ended(0)
    folder = tmp_path_factory.mktemp("registry")
    with Registry.opened(folder) as registry:
        shop = team.shop.checkout(folder / "team")
        shop.edit("compose.yaml", "image: shop:", f"image: {registry.address}/shop:")
        sha = shop.commit("Keep images in a registry")
        add_layer(f"shop:{sha}", folder)
        registry.push(f"shop:{sha}")
        shop.images.add(f"{registry.address}/shop:{sha}")
        yield Remote(Team(shop, team.way, team.tmp), registry, sha)
        team.shop.up(first).ended(0)


def add_layer(image: str, folder: Path) -> None:
    """A big one, which is in no build cache: it has to be fetched."""
    (folder / "stock").write_bytes(secrets.token_bytes(BIG))
    container = docker("container", "create", image).strip()
    docker("container", "cp", str(folder / "stock"), f"{container}:/tmp/stock")
    docker("container", "commit", container, image)
    docker("container", "rm", container)


@pytest.mark.slow
def test_a_password_that_is_wrong_is_told_and_nothing_is_changed(remote: Remote) -> None:
    wrong = secrets.token_urlsafe(16)
    said = refused(remote, remote.sha, wrong)
    assert "unauthorized" in said or "no basic auth credentials" in said
    assert not [form for form in forms(frozenset({wrong})) if form in said]


@pytest.mark.slow
def test_how_much_a_pull_fetches_is_known_before_it(remote: Remote) -> None:
    host = LocalHost({**os.environ, **remote.environ(remote.registry.password)})
    sizes = pull_sizes(Docker(host), [remote.image, f"{remote.registry.address}/shop:missing"])
    assert sizes.keys() == {remote.image}
    assert sizes[remote.image] > BIG


@pytest.mark.slow
def test_an_image_that_does_not_exist_is_told_and_nothing_is_changed(remote: Remote) -> None:
    missing = remote.team.shop.git("commit-tree", "-m", "Not pushed", "HEAD^{tree}")
    said = refused(remote, missing, remote.registry.password)
    assert "manifest" in said or "not found" in said


@pytest.mark.slow
def test_a_pull_that_dies_half_way_changes_nothing_and_the_next_one_ends_well(
    remote: Remote,
) -> None:
    wire = remote.registry.wire
    wire.cut_after(PART)
    said = refused(remote, remote.sha, remote.registry.password)
    assert wire.is_over.is_set()
    assert f"image {remote.image} is not on this host, and cannot be pulled" in said
    wire.mend()
    remote.up(remote.sha).ended(0)
    assert_settled(remote.team, remote.sha)


@contextmanager
def pull_that_hangs(remote: Remote) -> Iterator[Running]:
    """`up` in the midst of a pull of which no more comes."""
    wire = remote.registry.wire
    wire.cut_after(PART, sticks=True)
    environ = remote.environ(remote.registry.password)
    with remote.team.shop.running("up", "--json", remote.sha, **environ) as up:
        up.wait_for_step("Pull")
        assert wire.is_over.wait(DEADLINE_S)
        yield up


@pytest.mark.slow
def test_a_signal_ends_a_pull_that_hangs_and_nothing_is_changed(remote: Remote) -> None:
    shop = remote.team.shop
    before = shop.containers()
    with pull_that_hangs(remote) as up:
        began = time.monotonic()
        up.signal(signal.SIGTERM)
        ran = up.finish().ended(130)
        assert time.monotonic() - began < LEAVES_S
    assert "nothing is changed" in ran.result["message"]
    assert shop.containers() == before
    assert not [line for line in command_lines().values() if remote.image in line]


@pytest.mark.slow
@pytest.mark.parametrize("ends", [True, False])
def test_a_pull_that_outlives_its_killed_run_is_waited_for_or_ended(
    remote: Remote, ends: bool
) -> None:
    shop, wire = remote.team.shop, remote.registry.wire
    before = shop.containers()
    with pull_that_hangs(remote) as up:
        up.signal(signal.SIGKILL)
        up.finish().ended(-signal.SIGKILL)
    (orphan,) = processes_of(shop)
    assert remote.image in orphan
    environ = remote.environ(remote.registry.password)
    with shop.running("up", "--json", remote.sha, **environ) as following:
        told = following.wait_for("warned", lambda said: "left behind" in said["message"])
        assert "`docker image pull" in told["message"]
        if ends:
            wire.mend()
        outcome = "ended by itself" if ends else "was killed"
        following.wait_for("warned", lambda said: outcome in said["message"])
        assert shop.containers() == before
        wire.mend()
        following.finish().ended(0)
    assert_settled(remote.team, remote.sha)


@pytest.mark.slow
def test_the_password_is_told_to_nobody_while_an_image_is_pulled(remote: Remote) -> None:
    shop, password = remote.team.shop, remote.registry.password
    with Watcher(frozenset({password}), shop.state) as watcher:
        ran = remote.up(remote.sha).ended(0)
    assert_settled(remote.team, remote.sha)
    assert [line for line in watcher.commands if "\0pull\0" in line]
    assert watcher.told == set()
    texts = [ran.stdout, ran.stderr, *(p.read_text() for p in shop.state.rglob("*") if p.is_file())]
    assert not [f for f in forms(frozenset({password})) for text in texts if f in text]


def refused(remote: Remote, sha: str, password: str) -> str:
    """What is said when `sha` cannot be released, and nothing was changed."""
    shop = remote.team.shop
    before, serving = shop.containers(), shop.serving()
    ran = remote.up(sha, password=password).ended(2)
    assert shop.containers() == before
    assert shop.serving() == serving
    return ran.stdout + ran.stderr
