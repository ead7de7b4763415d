"""The log of a bake on real nginx containers: what the team logs is not changed by it."""

from __future__ import annotations

import pytest

from releasekit.baking import Whereabouts, numbers, tally
from releasekit.errors import CommandFailed
from releasekit.nginx import log as logs
from releasekit.nginx import mark
from releasekit.nginx.router import Bake
from releasekit.observed import Upstream
from tests.contract.nginx_stage import Hammer, World, address, docker, eventually

pytestmark = pytest.mark.e2e

LOG = "/run/releasekit.log"
OURS = "include /etc/nginx/releasekit/*.access_log;"
TEAM = """\
include /etc/nginx/releasekit/*.conf;
access_log /tmp/http.log;
%(http)s
server {
    listen 80;
    location / { proxy_pass http://web; }
}
server {
    listen 80;
    server_name own;
    access_log /tmp/server.log;
    %(server)s
    location / { proxy_pass http://web; }
}
server {
    listen 80;
    server_name off;
    access_log off;
    location / { %(location)s proxy_pass http://web; }
}
"""


@pytest.fixture
def baking(world: World) -> World:
    """Its router has nginx log for a bake."""
    world.bake = Bake(LOG, 5.0)
    world.router = world.new_router(world.container)
    return world


@pytest.fixture
def serving(baking: World, blue: Upstream) -> World:
    """It logs nothing yet: of an nginx that does not run nobody can say that it could."""
    baking.user_file(TEAM % {"http": OURS, "server": "", "location": ""})
    baking.serve(blue)
    return baking


@pytest.fixture
def logging(serving: World, blue: Upstream) -> World:
    """It serves, and logs each request."""
    serving.serve(blue)
    return serving


def assert_logged(world: World, **counts: int) -> None:
    """So many requests to the replicas of these colours were logged since the last time; nginx
    logs one when its answer has gone out."""
    lines: list[str] = []

    def look() -> str:
        lines.extend(world.router.requests.lines())
        found = {colour: asked(world, lines, colour) for colour in counts}
        return f"{found}" if any(found[colour] < counts[colour] for colour in counts) else ""

    eventually(look)
    assert {colour: asked(world, lines, colour) for colour in counts} == counts


def asked(world: World, lines: list[str], colour: str) -> int:
    replica = Whereabouts((address(f"{world.stage.prefix}-web-{colour}-1"),), 0.0)
    return numbers(tally(lines, [replica])).requests


def logged(world: World, file: str) -> int:
    return len(docker("exec", world.container.name, "cat", file).splitlines())


def test_every_request_is_counted_and_the_team_logs_what_it_did(
    baking: World, blue: Upstream, green: Upstream
) -> None:
    world = baking
    world.user_file(TEAM % {"http": OURS, "server": OURS, "location": OURS})
    world.serve(blue)  # nginx does not run: it cannot be said to log
    world.serve(blue)
    assert world.router.log_problem() == ""
    for host in ("any", "own", "off"):
        assert world.answer(Host=host) == "blue"
    assert_logged(world, blue=3)
    assert_logged(world, blue=0)
    assert logged(world, "/tmp/http.log") == 1
    assert logged(world, "/tmp/server.log") == 1

    world.serve(green)
    assert world.answer() == "green"
    assert_logged(world, blue=0, green=1)


def test_none_is_missed_under_load(logging: World) -> None:
    world = logging
    lines: list[str] = []
    with Hammer(world.container.inspect().address) as hammer:
        for _ in range(3):
            hammer.go_on(700)
            lines += world.router.requests.lines()
    assert not hammer.failed
    assert_logged(world, blue=len(hammer.answers) - asked(world, lines, "blue"))


def test_without_the_line_nothing_is_counted_and_that_is_found(
    baking: World, blue: Upstream
) -> None:
    baking.serve(blue)
    assert "add `include /etc/nginx/releasekit/*.access_log;`" in baking.router.log_problem()


def test_the_cutover_keeps_what_the_release_before_answered(
    logging: World, blue: Upstream, green: Upstream
) -> None:
    """And the next run begins with an empty log once that one's time is up."""
    world = logging
    assert world.answer() == "blue"
    world.serve(green)
    assert world.answer() == "green"
    assert_logged(world, blue=1, green=1)

    closed = logs.Log(LOG, (17951789,))
    pieces = logs.pieces_of(world.managed.read_text())
    body = world.managed.read_text().split("\n", 2)[2]
    body = body.replace("|".join(map(str, pieces)), str(closed.pieces[0]))
    world.managed.write_text(mark.marked(body))
    world.router = world.new_router(world.container)
    world.serve(blue)
    assert logged(world, LOG) == 0


@pytest.mark.parametrize("before", ["serving", "logging"])
def test_a_path_that_nginx_cannot_write_to_stops_no_route(
    request: pytest.FixtureRequest, world: World, green: Upstream, before: str
) -> None:
    """Whether it is the first path, or takes the place of one that is written to right now."""
    request.getfixturevalue(before)
    world.bake = Bake("/nowhere/releasekit.log", 5.0)
    world.router = world.new_router(world.container)
    world.serve(green)
    assert world.answer() == "green"
    with pytest.raises(
        CommandFailed, match=r"nowhere/releasekit\.log cannot be read: it answers 404"
    ):
        world.router.requests.lines()


def test_a_project_that_gives_its_bake_up_leaves_nothing_behind(
    logging: World, green: Upstream
) -> None:
    world = logging
    assert (world.managed.parent / logs.FILE).exists()
    world.bake = None
    world.router = world.new_router(world.container)
    world.serve(green)
    assert world.answer() == "green"
    assert not (world.managed.parent / logs.FILE).exists()
    assert "log_format" not in world.managed.read_text()


def test_a_refused_route_restores_both_files(logging: World) -> None:
    world = logging
    before = {f.name: f.read_text() for f in world.managed.parent.iterdir()}
    world.user_file("upstream shared { }", "broken.conf")
    with pytest.raises(Exception, match="nginx does not take the route"):
        world.router.apply([Upstream("web", (world.stage.green,))])
    assert {f.name: f.read_text() for f in world.managed.parent.iterdir()} == before
