"""`NginxRouter` on real nginx containers, one that looks names up while it runs and one that
does not: what it says is true of what users get."""

from __future__ import annotations

import json
import os
import subprocess
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from releasekit.bundle import HealthCheck
from releasekit.errors import CommandFailed, DeadlineExceeded, RouteRefused
from releasekit.hosts.local import LocalHost
from releasekit.nginx.container import ContainerFacts, Process
from releasekit.nginx.render import FILE, Control, Peer, render
from releasekit.nginx.router import NginxRouter
from releasekit.observed import Nginx, Route, Upstream
from releasekit.ports import Answer, Completed
from releasekit.waiting import wait_until
from tests.contract.nginx_stage import (
    CLOCK,
    CONTROL_PORT,
    MAIN,
    UP,
    USER,
    VERSIONS,
    DockerContainer,
    Hammer,
    World,
    address,
    docker,
    eventually,
    remove,
)

pytestmark = pytest.mark.e2e
in_both = pytest.mark.parametrize("world", VERSIONS, indirect=True)
"""With an nginx of each kind also in the fast lane; all others meet the old one in the slow one."""


@in_both
class TestApply:
    def test_starts_nginx(self, world: World, blue: Upstream) -> None:
        """An nginx that does not run is started with the route, and serves it."""
        before = world.router.observe()
        assert (before.running, before.loaded) == (False, None)
        assert before.version[:2] == world.router.observe().version[:2]

        world.serve(blue)

        after = world.router.observe()
        assert after.running
        assert after.version == before.version
        assert after.loaded is not None
        assert after.loaded.upstreams == (blue,)
        assert world.answer() == "blue"

    def test_moves_the_route(self, world: World, blue: Upstream, green: Upstream) -> None:
        """When it is confirmed, every new connection gets the new release."""
        world.serve(blue)
        world.serve(green)

        assert {world.answer() for _ in range(50)} == {"green"}
        observed = world.new_router(world.container).observe()
        assert observed.loaded is not None
        assert observed.loaded.upstreams == (green,)

    def test_no_request_fails(self, world: World, blue: Upstream, green: Upstream) -> None:
        """Cutovers to and fro under load; announced where nginx looks names up."""
        world.serve(blue)
        with Hammer(world.container.inspect().address) as hammer:
            for old, new in [(blue, green), (green, blue)] * 2:
                hammer.go_on()
                if world.resolves:
                    world.serve(Upstream("web", old.replicas, standby=new.replicas))
                world.serve(new)
            hammer.go_on()

        assert hammer.failed == []
        assert {"blue", "green"} == set(hammer.answers)

    def test_standby_gets_nothing(self, world: World, blue: Upstream, green: Upstream) -> None:
        """An announced replica gets no request; an nginx that needs no announcement reloads not."""
        world.serve(blue)
        workers = world.workers()

        world.serve(Upstream("web", blue.replicas, standby=green.replicas))

        assert {world.answer() for _ in range(50)} == {"blue"}
        assert (world.workers() == workers) is not world.resolves
        loaded = world.router.observe().loaded
        assert loaded is not None
        assert loaded.upstreams[0].standby == (green.replicas if world.resolves else ())

    def test_the_same_route(self, world: World, blue: Upstream) -> None:
        """Nothing is written or reloaded, by this run or another."""
        world.serve(blue)
        workers, inode = world.workers(), world.managed.stat().st_ino

        world.serve(blue)
        world.router = world.new_router(world.container)
        world.serve(blue)

        assert world.workers() == workers
        assert world.managed.stat().st_ino == inode

    def test_two_replicas_on_two_ports(self, world: World) -> None:
        """Replicas of two releases share the traffic, each on its own port."""
        world.serve(Upstream("web", (world.stage.blue, world.stage.green)))

        assert {world.answer() for _ in range(50)} == {"blue", "green"}

    def test_weights(self, world: World) -> None:
        """Each replica gets its share, to the request; what is loaded is told with them."""
        world.serve(Upstream("web", (world.stage.blue, world.stage.green), weights=(1, 4)))

        got = [world.answer() for _ in range(50)]
        assert (got.count("blue"), got.count("green")) == (10, 40)
        assert world.loaded.upstreams[0].weights == (1, 4)

    def test_other_weights_are_another_route(self, world: World) -> None:
        both = (world.stage.blue, world.stage.green)
        world.serve(Upstream("web", both, weights=(1, 4)))

        assert not world.router.apply([Upstream("web", both, weights=(1, 4))])
        assert world.router.apply([Upstream("web", both, weights=(1, 1))])
        assert world.router.apply([Upstream("web", both)])

    def test_no_replica(self, world: World) -> None:
        """nginx starts all the same, and says 502 for this service."""
        world.serve(Upstream("web", ()))

        assert world.answer() == "status 502"

    def test_a_replica_that_moved(self, world: World, blue: Upstream) -> None:
        """Where nginx holds addresses, a replica's new one is a new route."""
        world.serve(blue)
        text = world.managed.read_text()
        moved = Peer(9090, address(world.stage.green), UP)
        world.router = NginxRouter(
            LocalHost(os.environ),
            world.container,
            lambda names: dict.fromkeys(names, moved),
            CLOCK,
            directory=str(world.managed.parent),
            control_port=CONTROL_PORT,
            lock=world.lock,
        )
        if world.resolves:
            return
        world.serve(blue)

        assert world.managed.read_text() != text
        assert world.answer() == "green"


class TestRefusal:
    def test_a_broken_file_of_somebody_else(
        self, world: World, blue: Upstream, green: Upstream
    ) -> None:
        """It is called theirs, the old file is back, and the old route serves."""
        world.serve(blue)
        text = world.managed.read_text()
        world.user_file("nonsense on;\n", "broken.conf")

        with pytest.raises(RouteRefused, match=r"broken\.conf:1 \(the project's own file\)"):
            world.router.apply([green])

        assert world.managed.read_text() == text
        assert world.answer() == "blue"

    @pytest.mark.parametrize(
        ("theirs", "hint"),
        [
            ("upstream web { server 127.0.0.1:9; }", "remove it from your own files"),
            ("server { location / { proxy_pass http://web:8080; } }", "leave the port out"),
        ],
    )
    def test_what_cannot_be_beside_an_upstream_of_ours(
        self, world: World, blue: Upstream, theirs: str, hint: str
    ) -> None:
        """The hint says what to do about it; no file of ours is left where there was none."""
        world.serve(blue)
        world.managed.unlink()
        world.user_file(theirs, "z.conf")

        with pytest.raises(RouteRefused, match=r"z\.conf:1") as refused:
            world.router.apply([blue])

        assert hint in refused.value.hint
        assert not world.managed.exists()

    def test_a_test_that_does_not_end(
        self, world: World, blue: Upstream, green: Upstream, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The old file is back."""
        world.serve(blue)
        text = world.managed.read_text()

        def hang(argv: Sequence[str], *, deadline_s: float) -> Completed:
            assert world.managed.read_text() != text
            raise DeadlineExceeded("nginx -t did not end")

        monkeypatch.setattr(world.container, "execute", hang)
        with pytest.raises(DeadlineExceeded):
            world.router.apply([green])

        assert world.managed.read_text() == text

    def test_an_nginx_that_does_not_start(self, world: World, blue: Upstream) -> None:
        """What it logged is told, and our file is not left behind."""
        world.user_file("nonsense on;\n", "broken.conf")

        with pytest.raises(RouteRefused, match=r"nonsense.*\(the project's own file\)") as refused:
            world.router.apply([blue])

        [tail] = refused.value.log_tail.values()
        assert any("[emerg]" in line for line in tail)
        assert not world.managed.exists()

    def test_a_replica_that_does_not_exist(self, world: World, blue: Upstream) -> None:
        world.serve(blue)

        with pytest.raises(RouteRefused, match="no replica 'gone-1'"):
            world.router.apply([Upstream("web", ("gone-1",))])

    def test_hostile_names(self, world: World, blue: Upstream) -> None:
        """They never reach the file."""
        for service in ("web; }", "web$x", "-v", "../web"):
            with pytest.raises(RouteRefused, match="cannot be a service"):
                world.router.apply([Upstream(service, blue.replicas)])

        assert not world.managed.exists()


class TestConfirm:
    def test_nothing_applied(self, world: World) -> None:
        assert world.router.unconfirmed() == "no route was applied"

    def test_not_without_a_reload(
        self, world: World, blue: Upstream, green: Upstream, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A reload that was asked for, and never came, is not confirmed."""
        world.serve(blue)
        monkeypatch.setattr(world.container, "execute", world.container.lose_reload)
        world.router.apply([green])

        assert "nginx still serves the route" in world.router.unconfirmed()

    def test_an_old_worker_that_still_accepts(
        self, world: World, blue: Upstream, green: Upstream, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """However many connections saw the new route, the next one may get the old worker."""
        world.serve(blue)
        real, slow = world.container.processes, Process(1, "nginx: worker process")
        monkeypatch.setattr(world.container, "processes", lambda: [*real(), slow])

        world.router.apply([green])
        with pytest.raises(DeadlineExceeded, match="workers that still accept connections: 1"):
            wait_until(world.router.unconfirmed, deadline_s=2.0, clock=CLOCK)
        monkeypatch.undo()

        eventually(world.router.unconfirmed)

    def test_a_replica_out_of_reach(self, world: World, blue: Upstream, far: Upstream) -> None:
        """A replica on another network is never confirmed, though nginx takes the route."""
        world.serve(blue)
        world.router.apply([far])

        said: list[str] = []
        with pytest.raises(
            DeadlineExceeded, match=r"/up of .*-far-1 through nginx: 50[24]; nginx may share no"
        ):
            wait_until(world.router.unconfirmed, deadline_s=3.0, clock=CLOCK, on_detail=said.append)
        world.serve(blue)

    def test_one_of_two_out_of_reach(self, world: World) -> None:
        """Every replica is asked for, not any."""
        both = Upstream("web", (world.stage.blue, world.stage.far))
        world.router.apply([both])

        with pytest.raises(DeadlineExceeded, match=rf"/up of {world.stage.far} through nginx"):
            wait_until(world.router.unconfirmed, deadline_s=3.0, clock=CLOCK)

    def test_a_folder_that_is_not_included(
        self, world: World, blue: Upstream, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What is wrong is said in words that lead to it, and not waited for in vain."""
        monkeypatch.setattr("releasekit.nginx.managed.BOOT_S", 1.0)
        world.user_file("server { listen 80; }\n")

        with pytest.raises(RouteRefused, match=r"included in its http block\?"):
            world.router.apply([blue])
        world.router.apply([blue])
        assert "included in its http block?" in world.router.unconfirmed()

    def test_an_nginx_that_stopped(self, world: World, blue: Upstream) -> None:
        world.serve(blue)
        docker("kill", world.container.name)

        assert world.router.unconfirmed() == f"{world.container.name} does not run"
        assert world.router.undrained() == ""


class TestObserve:
    @pytest.mark.parametrize(
        ("bodies", "draining"), [("aaa", False), ("abbaabbbb", False), ("ab" * 1000, True)]
    )
    def test_workers_that_disagree(
        self, monkeypatch: pytest.MonkeyPatch, bodies: str, draining: bool
    ) -> None:
        """Old and new workers answer side by side: they are asked until they agree, for a while."""
        said = iter(bodies)

        def answer(*_: object, **__: object) -> tuple[Answer, str]:
            told = {"schema": 1, "generation": next(said), "version": "nginx/1.30.6"}
            return Answer(200), json.dumps({**told, "upstreams": {}})

        container = DockerContainer("nginx", "none", "none")
        monkeypatch.setattr(container, "inspect", lambda: ContainerFacts("nginx", True))
        monkeypatch.setattr(container, "processes", list)
        monkeypatch.setattr(LocalHost, "http_get", answer)
        router = NginxRouter(
            LocalHost({}),
            container,
            lambda _: {},
            CLOCK,
            directory="/none",
            control_port=1,
            lock="/none",
        )

        observed = router.observe()

        assert observed.draining is draining
        assert observed.version == (1, 30, 6)
        assert observed.loaded == Route((), bodies[-1]) or draining


@in_both
class TestDrain:
    def test_a_request_in_flight(self, world: World, blue: Upstream, green: Upstream) -> None:
        """The old worker counts until its request has ended, whole."""
        world.serve(blue)
        answers: list[str] = []
        slow = threading.Thread(target=lambda: answers.append(world.answer("/slow")))
        slow.start()
        address = world.container.inspect().address
        eventually(lambda: "" if busy(address) else "not yet asked")

        world.serve(green)
        assert world.router.undrained() == "old nginx workers with requests to finish: 1"
        assert world.new_router(world.container).observe().draining
        eventually(world.router.undrained)
        slow.join()

        assert answers == ["x" * 3000]
        assert not world.router.observe().draining

    def test_workers_that_docker_does_not_tell_are_not_gone(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse() -> Sequence[Process]:
            raise CommandFailed("i/o timeout")

        monkeypatch.setattr(world.container, "processes", refuse)

        assert world.router.undrained() == "old nginx workers cannot be counted: i/o timeout"


def busy(address: str) -> bool:
    """Whether a connection to that nginx is open."""
    return address in subprocess.run(["ss", "-Htn"], capture_output=True, text=True).stdout


class TestProblem:
    def test_a_folder_that_is_included(self, world: World, blue: Upstream) -> None:
        """Before nginx runs for the first time, and while it serves."""
        assert world.router.problem(["web"]) == ""

        world.serve(blue)
        assert world.router.problem(["web"]) == ""

    @pytest.mark.parametrize("running", [False, True])
    def test_a_folder_that_is_not(self, world: World, running: bool) -> None:
        world.user_file("server { listen 80; }\n")
        if running:
            docker("start", world.container.name)

        assert "does not include /etc/nginx/releasekit" in world.router.problem(["web"])

    def test_a_running_nginx_that_was_created_without_the_mount(self, world: World) -> None:
        world.user_file("server { listen 80; }\n")
        docker("start", world.container.name)
        elsewhere = world.managed.parent.with_name("elsewhere")
        router = NginxRouter(
            LocalHost(os.environ),
            world.container,
            world.stage.peers,
            CLOCK,
            directory=str(elsewhere),
            control_port=CONTROL_PORT,
            lock=world.lock,
        )

        assert router.problem(["web"]) == (
            f"nginx runs without the mount of {elsewhere}: once, `docker compose up -d nginx`"
        )
        elsewhere.symlink_to(world.managed.parent)
        assert "without the mount" not in router.problem(["web"])


class TestOtherHands:
    def test_nginx_restarts(self, world: World, blue: Upstream, green: Upstream) -> None:
        """It comes back with the same route, without releasekit."""
        world.serve(blue)
        world.serve(green)
        loaded = world.router.observe().loaded
        docker("restart", world.container.name)

        eventually(lambda: "" if world.router.observe().loaded else "not yet up")
        assert world.router.observe().loaded == loaded
        assert world.answer() == "green"

    def test_a_replica_restarts(self, world: World, blue: Upstream) -> None:
        """One refused connection takes no replica out, whatever address it comes back with."""
        world.serve(blue)
        docker("restart", world.stage.blue)

        eventually(lambda: "" if world.answer() == "blue" else world.answer(), 5.0)

    def test_docker_never_takes_it_for_stopped_by_hand(
        self, world: World, blue: Upstream, green: Upstream, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """As it does after any signal of its own; then it would not start with the engine."""
        signals: list[str] = []
        monkeypatch.setattr(world.container, "signal", signals.append)

        world.serve(blue)
        world.serve(green)

        assert world.answer() == "green"
        assert signals == []

    def test_a_pid_file_in_a_place_of_its_own(
        self, world: World, blue: Upstream, green: Upstream
    ) -> None:
        """A reload finds no master by it: Docker's signal is the last resort."""
        world.serve(blue)
        docker("exec", world.container.name, "sh", "-c", "rm -f /run/nginx.pid /var/run/nginx.pid")

        world.serve(green)

        assert world.answer() == "green"

    def test_a_shell_as_first_process(self, world: World, blue: Upstream, green: Upstream) -> None:
        """As in the certbot recipe; and nginx has its configuration elsewhere."""
        (world.folder / "conf.d" / "main").write_text(MAIN)
        remove(world.container.name)
        world.create("sh", "-c", "nginx -c /etc/custom/main -g 'daemon off;'; exit")

        world.serve(blue)
        world.serve(green)

        assert world.answer() == "green"

    def test_a_test_of_the_configuration_in_use(
        self, world: World, blue: Upstream, green: Upstream
    ) -> None:
        """Not of the one in nginx's default place."""
        main = world.folder / "conf.d" / "main"
        main.write_text(MAIN)
        remove(world.container.name)
        world.create("nginx", "-c", "/etc/custom/main", "-g", "daemon off;")
        world.serve(blue)
        main.write_text("nonsense;")

        with pytest.raises(RouteRefused, match=r"nonsense.* in /etc/custom/main:1"):
            world.router.apply([green])

    def test_a_strict_http_block(self, world: World, blue: Upstream) -> None:
        """What a user demands of every request does not keep us out."""
        strict = "auth_basic stop;\nauth_basic_user_file /dev/null;\nallow 192.0.2.1;\ndeny all;\n"
        world.user_file(strict + USER)

        world.serve(blue)

        assert world.answer() == "status 403"

    @pytest.mark.parametrize("world", ["1.30"], indirect=True)
    def test_keepalive_min_timeout_of_their_own(
        self, world: World, blue: Upstream, green: Upstream
    ) -> None:
        """nginx takes no second one; starting and reloading alike."""
        world.user_file("keepalive_min_timeout 5s;\n" + USER)

        for upstream in (blue, green):
            world.serve(upstream)
            assert "keepalive_min_timeout" not in world.managed.read_text()
        workers = world.workers()
        world.serve(green)
        assert world.workers() == workers

    def test_strangers_learn_nothing(self, world: World, blue: Upstream) -> None:
        """Another container on the network may not ask the control server."""
        world.serve(blue)
        url = f"http://{world.container.inspect().address}:{CONTROL_PORT}/route"

        done = subprocess.run(
            ["docker", "exec", world.stage.blue, "wget", "-qO-", url],
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert "403" in done.stderr
        assert done.stdout == ""


def range_of(names: tuple[str, ...]) -> tuple[int, ...]:
    """As many weights, up to one that is far too large to make sense."""
    return tuple(1 + n**6 for n in range(len(names)))


@pytest.mark.parametrize("version", VERSIONS)
def test_nginx_takes_whatever_is_accepted(version: str, tmp_path: Path) -> None:
    """The longest, the oddest and the most."""
    names = ["a", "0", "Web_1", "a.b-c", "x" * 63, *(f"shop-web-blue-{n}" for n in range(60))]
    path = "/up%20b/~c?x=1&y=a:b@c,d+e="
    peers = {name: Peer(65535, "fd00::5", HealthCheck(path)) for name in names}
    live, shown = tuple(names[:30]), tuple(names[30:])
    upstreams = [
        Upstream(name, live, tuple(names), shown if len(name) < 36 else (), range_of(live))
        for name in names[:10]
    ]
    route = Route(tuple(upstreams), "f" * 128, "0" * 32)
    nginx = Nginx(VERSIONS[version])
    (tmp_path / FILE).write_text(render(route, peers, nginx, Control(1, "fd00::1")))

    image = f"releasekit-base/nginx:{version}"
    docker("run", "--rm", "-v", f"{tmp_path}:/etc/nginx/conf.d:ro", image, "nginx", "-t")
