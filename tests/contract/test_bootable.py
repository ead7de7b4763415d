"""Whatever happens, nginx would start from what is on disk, and with one whole route."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from releasekit.errors import (
    CommandFailed,
    DeadlineExceeded,
    ForeignChange,
    HostError,
    Interrupted,
    Locked,
    RouteRefused,
)
from releasekit.hosts.local import LocalHost
from releasekit.nginx import log as logs
from releasekit.nginx import mark
from releasekit.nginx.include import GOOD
from releasekit.nginx.managed import sweep
from releasekit.nginx.render import FILE
from releasekit.nginx.router import Bake
from releasekit.observed import Upstream
from releasekit.ports import Completed
from releasekit.waiting import wait_until
from tests.contract.cutover import Scene
from tests.contract.nginx_stage import (
    CLOCK,
    MAIN,
    USER,
    World,
    docker,
    eventually,
    is_reload,
    remove,
)

pytestmark = [pytest.mark.e2e, pytest.mark.faults]

ROOT = Path(__file__).parents[2]
LOG = "/run/releasekit.log"


def assert_bootable(world: World) -> str:
    """What is on disk passes `nginx -t` in a container of its own, and is one whole text."""
    text = world.managed.read_text()
    assert mark.is_whole(text)
    said = world.container.another("nginx", "-t")
    assert GOOD in said, said
    return text


def cut_over(world: World, upstream: Upstream, operation: int, log: str = "") -> int:
    """The exit status of a cutover that is killed before this operation; in a bake nginx logs at
    `log`."""
    scene = Scene.of(world, upstream, log)
    done = subprocess.run(
        [sys.executable, "-m", "tests.contract.cutover", str(operation), scene.argv],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode in (0, -signal.SIGKILL), done.stderr
    return done.returncode


def begin_a_run(world: World) -> None:
    """As every run begins."""
    sweep(LocalHost(os.environ), str(world.managed.parent))


def leftovers(world: World) -> list[str]:
    ours = (FILE, logs.FILE)
    return sorted(path.name for path in world.managed.parent.iterdir() if path.name not in ours)


@pytest.mark.slow
@pytest.mark.parametrize("services", [("web",), ("web", "api")], ids=["one shape", "another shape"])
def test_killed_before_any_operation(
    world: World, blue: Upstream, green: Upstream, services: tuple[str, ...]
) -> None:
    """Killed before its first operation, its second, and so on until it passes: what is on disk
    is what was there or what was to be; the next run finds nothing to stumble over."""
    operation, status = 0, -signal.SIGKILL
    while status != 0:
        operation += 1
        world.serve(*(Upstream(service, blue.replicas) for service in services))
        status = cut_over(world, green, operation)
        text = assert_bootable(world)
        assert (world.stage.green in text) is not (world.stage.blue in text)
        begin_a_run(world)
        assert leftovers(world) == []
        world.serve(green)
        assert world.answer() == "green"
    assert operation > 5


@pytest.mark.parametrize("world", ["1.30"], indirect=True)
def test_killed_before_any_operation_on_files(
    world: World, blue: Upstream, green: Upstream
) -> None:
    """The same where it matters most; all others are in the slow test."""
    operation, status = 0, -signal.SIGKILL
    while status != 0:
        operation += 1
        world.serve(blue)
        status = cut_over(world, green, -operation)
        text = assert_bootable(world)
        assert (world.stage.green in text) is not (world.stage.blue in text)
        begin_a_run(world)
        assert leftovers(world) == []
    assert operation > 5


@pytest.mark.slow
@pytest.mark.parametrize("world", ["1.30"], indirect=True)
@pytest.mark.parametrize(("before", "after"), [("", LOG), (LOG, LOG), (LOG, "")])
def test_killed_before_any_operation_on_files_of_a_bake(
    world: World, blue: Upstream, green: Upstream, before: str, after: str
) -> None:
    """The log's file too, whether it comes, stays or goes: nginx would never start with that file
    and without the format that it names."""
    world.user_file(f"{USER}include /etc/nginx/releasekit/{logs.PATTERN};\n")
    world.bake = Bake(before, 5.0) if before else None
    operation, status = 0, -signal.SIGKILL
    while status != 0:
        operation += 1
        world.router = world.new_router(world.container)
        world.serve(blue)
        world.serve(blue)
        status = cut_over(world, green, -operation, after)
        assert_bootable(world)
        begin_a_run(world)
        assert leftovers(world) == []
    assert (world.managed.parent / logs.FILE).exists() is bool(after)
    assert operation > 5


def test_a_text_of_another_shape_that_nginx_refuses_is_never_in_place(
    world: World, blue: Upstream, green: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is tested somewhere else: an api of the user's own is in the way."""
    world.serve(blue)
    text = world.managed.read_text()
    world.user_file("upstream api { server 127.0.0.1:9; }", "z.conf")
    places: list[str] = []
    write = LocalHost.write
    monkeypatch.setattr(
        LocalHost,
        "write",
        lambda host, path, *a, **k: (places.append(path), write(host, path, *a, **k)),
    )

    with pytest.raises(RouteRefused, match="duplicate upstream"):
        world.router.apply([green, Upstream("api", green.replicas)])

    assert places == []
    assert world.managed.read_text() == text
    assert world.answer() == "blue"


def test_a_test_elsewhere_that_could_not_be_made_is_no_leave_to_try_in_place(
    world: World, blue: Upstream, green: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where the engine hiccups, or has no memory: nginx never saw the text."""
    world.serve(blue)
    text = world.managed.read_text()
    said = "Error response from daemon: cannot allocate memory"
    monkeypatch.setattr(world.container, "test", lambda argv, text: said)
    world.user_file("upstream api { server 127.0.0.1:9; }", "z.conf")

    with pytest.raises(RouteRefused, match=f"its test in a container of its own failed: {said}"):
        world.router.apply([green, Upstream("api", green.replicas)])

    assert world.managed.read_text() == text
    assert world.answer() == "blue"


def test_a_test_elsewhere_that_refuses_what_runs_tells_nothing(
    world: World, blue: Upstream, green: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where nginx has files in its container that no other has: it is tested in place alone."""
    world.serve(blue)
    monkeypatch.setattr(world.container, "test", lambda argv, text: "[emerg] no such certificate")

    world.serve(green, Upstream("api", green.replicas))

    assert world.answer() == "green"


@pytest.mark.slow
def test_full_disks(world: World, blue: Upstream, green: Upstream) -> None:
    """Whichever write finds no room, what is on disk is whole, and nothing of ours is beside it."""
    with small_disk(world) as disk:
        world.serve(blue)
        for pages in range(4):
            with filled(disk, leave=pages):
                with suppress(HostError):
                    world.serve(green)
                text = assert_bootable(world)
                assert (world.stage.green in text) is not (world.stage.blue in text)
                assert leftovers(world) == ["filler"]
            world.serve(blue)


@pytest.mark.slow
def test_a_refusal_on_a_full_disk(world: World, blue: Upstream, green: Upstream) -> None:
    """To put the old file back takes no room."""
    with small_disk(world) as disk:
        world.serve(blue)
        text = world.managed.read_text()
        world.user_file("nonsense on;\n", "broken.conf")
        with filled(disk, leave=2), pytest.raises(RouteRefused, match=r"broken\.conf"):
            world.router.apply([green])

        assert world.managed.read_text() == text


@contextmanager
def small_disk(world: World) -> Iterator[Path]:
    """The managed folder on a disk of its own."""
    folder = world.managed.parent
    if os.geteuid() != 0:
        pytest.skip("only root mounts a disk")
    options = ["-t", "tmpfs", "-o", "size=64k"]
    subprocess.run(["mount", *options, "tmpfs", str(folder)], check=True)
    try:
        yield folder
    finally:
        remove(world.container.name)
        subprocess.run(["umount", str(folder)], check=True)


@contextmanager
def filled(disk: Path, *, leave: int) -> Iterator[None]:
    """The disk with room for so many pages."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(4096))
    os.truncate(filler, filler.stat().st_size - 4096 * leave)
    try:
        yield
    finally:
        filler.unlink()


@pytest.mark.slow
def test_what_a_killed_run_left_leads_where_nginx_does(
    world: World, blue: Upstream, green: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Written and never loaded: the next run has the file say what serves."""
    world.serve(blue)
    monkeypatch.setattr(world.container, "execute", world.container.lose_reload)
    world.router.apply([green])
    monkeypatch.undo()
    assert world.stage.green in world.managed.read_text()

    world.new_router(world.container).observe()
    run = world.new_router(world.container)
    run.observe()
    run.mend()

    assert world.stage.blue in assert_bootable(world)
    workers = world.workers()
    run.mend()
    assert world.workers() == workers
    assert world.answer() == "blue"


class TestFaultsOfAReload:
    def test_a_master_that_does_not_take_it(
        self, world: World, blue: Upstream, green: Upstream
    ) -> None:
        """A port that somebody holds: it is not confirmed, and the file is put back to what
        serves."""
        world.serve(blue)
        world.user_file("server { listen 81; }\n", "other.conf")
        docker("exec", "-d", world.container.name, "nc", "-l", "-p", "81")
        eventually(lambda: "" if "nc" in str(world.container.processes()) else "not yet")

        world.router.apply([green])
        with pytest.raises(DeadlineExceeded, match="nginx still serves the route"):
            wait_until(world.router.unconfirmed, deadline_s=3.0, clock=CLOCK)
        world.new_router(world.container).mend()  # the way back's, which has not looked yet

        assert world.stage.blue in assert_bootable(world)
        assert world.answer() == "blue"

    def test_workers_that_cannot_start(
        self, world: World, blue: Upstream, green: Upstream, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """An outage: it is noticed and ended within two seconds, and told."""
        sent = self.outage(world, blue, monkeypatch)
        text = world.managed.read_text()
        with pytest.raises(RouteRefused, match="no worker left that accepts") as refused:
            world.router.apply([green])
        eventually(lambda: "" if world.answer() == "blue" else "nobody answers", 2.0)

        assert CLOCK.now() - sent[0] < 2.0
        assert "cannot be respawned" in str(refused.value.log_tail)
        assert world.managed.read_text() == text

    def test_workers_that_cannot_start_and_a_docker_that_fails_at_that_moment(
        self, world: World, blue: Upstream, green: Upstream, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The outage is ended all the same."""
        sent = self.outage(world, blue, monkeypatch)
        text = world.managed.read_text()

        def fail(lines: int) -> tuple[str, ...]:
            raise CommandFailed("docker does not answer")

        monkeypatch.setattr(world.container, "log_tail", fail)
        with pytest.raises(CommandFailed, match="docker does not answer"):
            world.router.apply([green])
        eventually(lambda: "" if world.answer() == "blue" else "nobody answers", 2.0)

        assert CLOCK.now() - sent[0] < 2.0
        assert world.managed.read_text() == text

    def outage(self, world: World, blue: Upstream, monkeypatch: pytest.MonkeyPatch) -> list[float]:
        """Have the next reload leave nobody who accepts; when reloads were asked for."""
        there = world.folder / "conf.d" / "there"
        there.mkdir()
        (world.folder / "conf.d" / "main").write_text(
            f"working_directory /etc/custom/there;\n{MAIN}"
        )
        remove(world.container.name)
        world.create("nginx", "-c", "/etc/custom/main", "-g", "daemon off;")
        world.serve(blue)
        real = world.container.execute
        sent: list[float] = []

        def away_for_one_reload(argv: Sequence[str], *, deadline_s: float) -> Completed:
            if is_reload(argv):
                gone = there.with_name("gone")
                gone.rename(there) if sent else there.rename(gone)
                sent.append(CLOCK.now())
            return real(argv, deadline_s=deadline_s)

        monkeypatch.setattr(world.container, "execute", away_for_one_reload)
        return sent


@pytest.mark.slow
class TestOtherProjects:
    """Two projects may share one nginx; each test of it is of the files of both."""

    def test_one_waits_for_the_other(self, world: World, blue: Upstream, green: Upstream) -> None:
        world.serve(blue)
        text = world.managed.read_text()
        cutover = threading.Thread(target=world.serve, args=(green,))
        with LocalHost(os.environ).lock(world.lock, "reloading nginx"):
            cutover.start()
            cutover.join(0.5)
            assert cutover.is_alive()
            assert world.managed.read_text() == text
        cutover.join()

        assert world.answer() == "green"

    def test_not_for_ever(
        self, world: World, blue: Upstream, green: Upstream, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        world.serve(blue)
        monkeypatch.setattr("releasekit.nginx.managed.TURN_S", 0.3)

        with LocalHost(os.environ).lock(world.lock, "reloading nginx"):
            with pytest.raises(Locked, match=f"process {os.getpid()}.*: reloading nginx"):
                world.router.apply([green])

        assert world.answer() == "blue"

    def test_not_once_it_is_asked_to_stop(
        self, world: World, blue: Upstream, green: Upstream
    ) -> None:
        world.serve(blue)

        def stop() -> None:
            raise Interrupted("stopped on request")

        with LocalHost(os.environ).lock(world.lock, "reloading nginx"), pytest.raises(Interrupted):
            world.router.apply([green], stop)

        assert world.answer() == "blue"

    def test_at_once(self, world: World, blue: Upstream, green: Upstream) -> None:
        """Neither loses a route, though what one of them tries is refused again and again."""
        world.user_file(f"include /etc/custom/second/*.conf;\n{USER}")
        second = world.second()
        world.serve(blue)
        second.apply([Upstream("api", blue.replicas)])
        eventually(second.unconfirmed)
        refusals: list[str] = []

        def be_refused() -> None:
            for _ in range(6):
                # A second `web` beside the first project's.
                with pytest.raises(RouteRefused, match="duplicate upstream") as refused:
                    second.apply([Upstream("web", blue.replicas)])
                refusals.append(refused.value.message)

        other = threading.Thread(target=be_refused)
        other.start()
        for upstream in (green, blue) * 3:
            world.serve(upstream)
        other.join()

        assert len(refusals) == 6
        second.apply([Upstream("api", green.replicas)])
        eventually(second.unconfirmed)
        assert world.answer() == "blue"


class TestForeignChange:
    def test_an_edited_file(self, world: World, blue: Upstream, green: Upstream) -> None:
        """It is observed with what is different, and left as it is."""
        world.serve(blue)
        theirs = world.managed.read_text().replace("max_fails=0", "max_fails=0 max_conns=5", 1)
        world.managed.write_text(theirs)
        run = world.new_router(world.container)

        nginx = run.observe()
        assert "max_conns=5" in nginx.edited
        assert len([line for line in nginx.edited.splitlines() if line[0] in "+-"]) == 4
        with pytest.raises(ForeignChange) as noticed:
            run.require_own(nginx)
        assert "max_conns=5" in noticed.value.difference
        with pytest.raises(ForeignChange, match="edited by hand"):
            run.apply([green])
        run.mend()

        assert world.managed.read_text() == theirs
        assert world.answer() == "blue"

    def test_to_adopt_it(self, world: World, blue: Upstream, green: Upstream) -> None:
        """A copy is kept that only its owner reads, and the file is ours again."""
        world.serve(blue)
        world.managed.write_text("garbage {")
        copy = world.folder / "edited" / "copy"
        run = world.new_router(world.container)
        run.observe()

        run.adopt(str(copy))
        run.mend()

        assert world.stage.blue in assert_bootable(world)
        assert copy.read_text() == "garbage {"
        assert copy.stat().st_mode & 0o777 == 0o600
        assert run.observe().edited == ""
        world.serve(green)
        assert world.answer() == "green"

    def test_one_that_is_gone_is_written_anew(self, world: World, blue: Upstream) -> None:
        """There is nothing that would be overwritten."""
        world.serve(blue)
        world.managed.unlink()
        run = world.new_router(world.container)

        assert run.observe().edited == ""
        run.mend()

        assert world.stage.blue in assert_bootable(world)


@pytest.mark.parametrize("world", ["1.22"], indirect=True)
def test_an_address_that_somebody_else_may_have_by_now(
    world: World, blue: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An nginx that looks no names up does not reach a replica that moved, and is not said to."""
    world.serve(blue)
    moved = {world.stage.blue: world.stage.peers([world.stage.green])[world.stage.green]}
    monkeypatch.setattr(type(world.stage), "peers", lambda stage, names: moved)

    loaded = world.loaded

    assert loaded.names == frozenset()
