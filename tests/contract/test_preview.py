"""Previews on real nginx containers: who carries the secret gets what is held, and nobody else."""

from __future__ import annotations

import http.client
import re
from dataclasses import replace

import pytest

from releasekit.errors import DeadlineExceeded, RouteRefused
from releasekit.nginx.render import FILE
from releasekit.observed import Upstream
from releasekit.ports import Completed
from releasekit.waiting import wait_until
from tests.contract.nginx_stage import (
    CLOCK,
    SWITCHING,
    Hammer,
    World,
    docker,
    eventually,
)

pytestmark = pytest.mark.e2e


class TestPreview:
    """A release that is held, behind a configuration that says `$releasekit_web`."""

    @pytest.fixture
    def held(self, world: World) -> Upstream:
        """Blue is live, green on preview."""
        world.user_file(SWITCHING)
        return Upstream("web", (world.stage.blue,), preview=(world.stage.green,))

    def test_who_carries_the_secret_gets_it(self, world: World, held: Upstream) -> None:
        """In the header, or as the first label of the host name; and every time."""
        world.serve(held)
        secret = world.loaded.secret

        by_header = [
            world.answer(Host="shop.example", X_Releasekit_Preview=secret) for _ in range(20)
        ]
        by_host = [world.answer(Host=f"{secret}.preview.shop.example") for _ in range(20)]
        assert {*by_header, *by_host} == {"green"}
        assert world.answer(Host=f"{secret.upper()}.Preview.shop.example:80") == "green"

    def test_nobody_else_does(self, world: World, held: Upstream) -> None:
        world.serve(held)
        secret = world.loaded.secret
        wrong = ["", ",", secret[:-1], f"{secret}0", f"0{secret}", "f" * 32, "0" * 32, ".*"]

        got = {world.answer(Host="shop.example") for _ in range(20)}
        for value in wrong:
            got.add(world.answer(Host="shop.example", X_Releasekit_Preview=value))
            if value.isalnum():
                got.add(world.answer(Host=f"{value}.preview.shop.example"))
                got.add(world.answer(Host=f"a.{value}.preview.shop.example"))
        assert got == {"blue"}
        assert world.answer(Host="elsewhere", X_Releasekit_Preview=secret) == "status 421"

    @pytest.mark.parametrize("colour", ["blue", "green"])
    def test_the_request_is_passed_on_unchanged(
        self, world: World, held: Upstream, colour: str
    ) -> None:
        """Live and on preview: method, URI, body, and what their own location adds."""
        world.serve(held)
        uri = "/echo/a%20b//c/%2e/%C3%BC;d?x=1&y=%2F&z=a+b"
        headers = {"Host": "shop.example", "Connection": "close"}
        if colour == "green":
            headers["X-Releasekit-Preview"] = world.loaded.secret

        connection = http.client.HTTPConnection(world.container.inspect().address, 80, timeout=10)
        connection.request("POST", uri, body="name=M%20&more=1", headers=headers)
        said = connection.getresponse().getheader("X-Said")
        connection.close()

        assert said == f"{colour} ours POST {uri} name=M%20&more=1"

    def test_it_is_told(self, world: World, held: Upstream) -> None:
        """To whoever may ask the control server, by the names of the replicas and the secret."""
        world.serve(held)

        assert world.loaded.upstreams == (held,)
        assert re.fullmatch("[0-9a-f]{32}", world.loaded.secret)

    def test_the_same_preview_again(self, world: World, held: Upstream) -> None:
        """Its secret stays, whether or not nginx has to load another route; nobody is disturbed."""
        world.serve(held)
        secret, workers = world.loaded.secret, world.workers()

        world.router = world.new_router(world.container)
        assert not world.router.apply([held])
        eventually(world.router.unconfirmed)
        assert world.workers() == workers

        world.serve(replace(held, weights=(2,)))
        assert world.loaded.secret == secret

    def test_it_ends_with_the_next_route(
        self, world: World, held: Upstream, blue: Upstream
    ) -> None:
        """The secret leads nowhere any more; the next hold has another."""
        world.serve(held)
        secret = world.loaded.secret
        world.serve(blue)

        assert world.loaded.secret == ""
        assert secret not in world.managed.read_text()
        assert world.answer(Host="shop.example", X_Releasekit_Preview=secret) == "blue"
        assert world.answer(Host=f"{secret}.preview.shop.example") == "blue"
        world.serve(held)
        assert world.loaded.secret not in ("", secret)

    def test_promoted_under_load(self, world: World, blue: Upstream, green: Upstream) -> None:
        """Users get the live one until the cutover; the other one nginx knows by then."""
        world.user_file(SWITCHING.replace("return 421;", "location / {\nproxy_pass http://web; }"))
        world.serve(blue)
        with Hammer(world.container.inspect().address) as hammer:
            for live, held in [(blue, green), (green, blue)] * 2:
                world.serve(replace(live, preview=held.replicas))
                began = len(hammer.answers)
                hammer.go_on(100)
                assert {*hammer.answers[began + 3 :]} == {world.colour(live)}
                world.serve(held)

        assert hammer.failed == []

    def test_it_has_to_answer(self, world: World, far: Upstream) -> None:
        """A hold is not confirmed before nginx reaches what is on preview."""
        world.user_file(SWITCHING)
        world.serve(Upstream("web", (world.stage.blue,)))
        world.router.apply([Upstream("web", (world.stage.blue,), preview=far.replicas)])

        with pytest.raises(DeadlineExceeded, match=rf"/up of {world.stage.far} through nginx"):
            wait_until(world.router.unconfirmed, deadline_s=3.0, clock=CLOCK)
        assert world.answer(Host="shop.example") == "blue"

    def test_the_secret_is_in_no_log(self, world: World, held: Upstream) -> None:
        """Not what we ask, not who uses the header, and not when nginx refuses what comes next."""
        told = "log_format all '$host $request $args $uri $upstream_addr $proxy_host';"
        world.user_file(f"{told}\naccess_log /dev/stdout all;\n{SWITCHING}")
        world.serve(held)
        secret = world.loaded.secret
        assert world.answer(Host="shop.example", X_Releasekit_Preview=secret) == "green"
        world.user_file("nonsense on;\n", "broken.conf")
        with pytest.raises(RouteRefused) as refused:
            world.router.apply([replace(held, weights=(2,))])

        log = "\n".join(world.container.log_tail(10_000))
        assert "releasekit_preview_web" in log  # it was logged what can be
        assert secret not in log
        assert secret not in f"{refused.value} {refused.value.log_tail}"

    def test_what_nginx_quotes_of_our_file_is_masked(
        self, world: World, held: Upstream, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """As an nginx does that was built without regular expressions."""
        world.serve(held)
        secret = world.loaded.secret
        said = f'nginx: [emerg] using regex "^{secret}," requires PCRE library in /x/{FILE}:9'
        done = Completed(1, "", said)
        monkeypatch.setattr(world.container, "execute", lambda *_, **__: done)

        with pytest.raises(RouteRefused, match="requires PCRE") as refused:
            world.router.apply([replace(held, weights=(2,))])

        assert secret not in f"{refused.value} {refused.value.log_tail}"

    def test_that_no_server_asks_for_is_a_problem(self, world: World, blue: Upstream) -> None:
        world.serve(blue)
        assert "nothing to $releasekit_web" in world.router.preview_problem(["web"])

        world.user_file(SWITCHING)
        assert world.router.preview_problem(["web"]) == ""

    def test_before_the_first_release(self, world: World, held: Upstream) -> None:
        """The variable is no reason to refuse a configuration, and none of ours may be missing."""
        world.user_file(SWITCHING)
        assert world.router.problem(["web"]) == ""

        world.user_file(SWITCHING.replace("include", "# include"))
        assert "does not include /etc/nginx/releasekit" in world.router.problem(["web"])

        world.user_file(SWITCHING)
        world.serve(replace(held, preview=()))
        assert world.answer(Host="shop.example") == "blue"

    def test_before_the_first_release_over_a_running_nginx(
        self, world: World, blue: Upstream
    ) -> None:
        """That the variable is unknown as yet says nothing about the include."""
        world.user_file("server { listen 80; }\n")
        docker("start", world.container.name)
        world.user_file(SWITCHING)

        assert world.router.problem(["web"]) == ""
        world.serve(blue)
        assert world.answer(Host="shop.example") == "blue"

    def test_a_variable_of_no_service(self, world: World, blue: Upstream) -> None:
        world.user_file(SWITCHING.replace("$releasekit_web", "$releasekit_wbe"))

        with pytest.raises(RouteRefused, match='unknown "releasekit_wbe" variable') as refused:
            world.router.apply([blue])
        assert "one for each service with a port" in refused.value.hint
