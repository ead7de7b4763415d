"""What a user can get wrong: exit 2, what it is and the way out, and nothing touched."""

from __future__ import annotations

import os
import shutil
import socket
import stat
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.shop import RELEASEKIT, Ran, Shop

pytestmark = pytest.mark.e2e

SETTINGS = "releasekit.toml"
COMPOSE = "compose.yaml"


@pytest.fixture
def team(stack: Shop, tmp_path: Path) -> Shop:
    """Another checkout of the running shop, to be spoiled."""
    return stack.checkout(tmp_path / "team")


def refused(shop: Shop, *args: str, **environ: str) -> Ran:
    """Run the command, which is refused before anything is touched."""
    before = shop.containers(), shop.files()
    ran = shop.releasekit(*args, **environ).ended(2)
    assert (shop.containers(), shop.files()) == before
    assert ran.stdout == ""
    assert ran.stderr.startswith("error: ")
    assert "Traceback" not in ran.stderr
    return ran


@dataclass(frozen=True)
class Slip:
    """A change of one file, and what has to be said of it."""

    name: str
    file: str
    old: str
    new: str
    says: tuple[str, ...]


SLIPS = (
    Slip(
        "an image without the tag variable",
        COMPOSE,
        "image: shop:${RELEASE_TAG:-dev}",
        "image: shop:stable",
        ("services.web.image", "services.worker.image", "write `image: shop:${RELEASE_TAG}`"),
    ),
    Slip(
        "a compose file that compose refuses",
        COMPOSE,
        "    expose:\n",
        "    exposed:\n",
        ("compose refuses", "exposed"),
    ),
    Slip(
        "a variable that is not set",
        COMPOSE,
        "SHOP_DRAIN_SECONDS: 30",
        "SHOP_DRAIN_SECONDS: ${DRAIN}",
        ("the variable DRAIN is not set", "env_file"),
    ),
    Slip(
        "no health check",
        SETTINGS,
        'health = { path = "/up", timeout = "30s" }\n',
        "",
        ("services.web: blue-green needs a health check", "[services.web] health = "),
    ),
    Slip(
        "settings for a service that there is not",
        SETTINGS,
        "[services.worker]",
        "[services.wroker]",
        ("[services.wroker]", "did you mean worker?"),
    ),
    Slip(
        "an nginx that there is not",
        SETTINGS,
        'service = "nginx"',
        'service = "proxy"',
        ("nginx.service", "no service 'proxy'", "nginx"),
    ),
    Slip(
        "nginx mounts one file",
        COMPOSE,
        ":-/var/lib/releasekit/shop/nginx}:/etc/nginx/releasekit:ro",
        ":-/x}/releasekit.conf:/etc/nginx/conf.d/releasekit.conf:ro",
        ("is a single file", "mount the folder: `- ${RELEASEKIT_NGINX_DIR:-"),
    ),
    Slip(
        "nginx mounts nothing of ours",
        COMPOSE,
        ":/etc/nginx/releasekit:ro",
        "-elsewhere:/etc/nginx/releasekit:ro",
        ("services.nginx.volumes: nothing mounts", "add `- ${RELEASEKIT_NGINX_DIR:-"),
    ),
    Slip(
        "a published port",
        COMPOSE,
        '    expose:\n      - "8080"\n',
        '    ports:\n      - "8081:8080"\n',
        ("services.web.ports: only one container can publish 8081", 'expose: ["8080"]', "recreate"),
    ),
    Slip(
        "a container_name",
        COMPOSE,
        '    expose:\n      - "8080"\n',
        '    container_name: the-web\n    expose:\n      - "8080"\n',
        ("services.web.container_name", "the-web", "recreate"),
    ),
)


@pytest.mark.parametrize("slip", SLIPS, ids=lambda slip: slip.name)
def test_a_slip_in_a_file_is_named_with_the_way_out(team: Shop, slip: Slip) -> None:
    team.edit(slip.file, slip.old, slip.new)
    said = refused(team, "up", team.first).stderr
    assert not [part for part in slip.says if part not in said], said


def test_a_project_with_nothing_to_release_is_told_how_to_name_it(team: Shop) -> None:
    (team.folder / SETTINGS).write_text(f'compose = ["{COMPOSE}"]\nenv_file = "shop.env"\n')
    team.edit(
        COMPOSE,
        "image: shop:${RELEASE_TAG:-dev}\n  build:\n    context: .\n    args:\n"
        "      RELEASE: ${RELEASE_TAG:-dev}\n",
        "image: shop:1.0\n",
    )
    said = refused(team, "up", team.first).stderr
    assert "nothing to release: no image uses ${RELEASE_TAG}" in said
    assert "write `image: NAME:${RELEASE_TAG}`" in said


def test_all_slips_in_the_settings_are_named_at_once(team: Shop) -> None:
    team.edit(SETTINGS, "port = 8080", 'port = "eighty"\nreplica = 2')
    said = refused(team, "up", team.first, RELEASEKIT_STRATGEY="recreate").stderr
    assert f"{SETTINGS}: services.web.port: must be a whole number" in said
    assert 'services.web.replica: unknown key; did you mean "replicas"?' in said
    assert 'RELEASEKIT_STRATGEY: unknown variable; did you mean "RELEASEKIT_STRATEGY"?' in said


def test_an_unknown_strategy_is_answered_with_those_that_exist(team: Shop) -> None:
    said = refused(team, "up", team.first, "--strategy", "blue-gren").stderr
    assert "there is no strategy 'blue-gren'" in said
    assert "did you mean 'blue-green'?" in said


def test_without_a_compose_file_it_says_where_it_looked(team: Shop) -> None:
    team.edit(SETTINGS, 'compose = ["compose.yaml", "compose.prod.yaml"]\n', "")
    for file in (COMPOSE, "compose.prod.yaml"):
        (team.folder / file).unlink()
    said = refused(team, "up", team.first, RELEASEKIT_PROJECT=team.name).stderr
    assert f"no compose file in {team.folder}" in said
    assert "compose = [" in said


def test_a_compose_file_that_the_settings_name_in_vain_is_named(team: Shop) -> None:
    (team.folder / "compose.prod.yaml").unlink()
    said = refused(team, "up", team.first).stderr
    assert "compose.prod.yaml" in said


def test_an_env_file_that_is_missing_is_named(team: Shop) -> None:
    (team.folder / "shop.env").unlink()
    said = refused(team, "up", team.first).stderr
    assert f"env_file: {team.folder}/shop.env does not exist" in said


def test_an_env_file_that_others_may_read_is_refused_with_the_command(team: Shop) -> None:
    path = team.folder / "shop.env"
    path.chmod(0o644)
    said = refused(team, "up", team.first).stderr
    assert "is open to other users (mode 0644)" in said
    assert f"run: chmod 600 {path}" in said
    assert stat.S_IMODE(path.stat().st_mode) == 0o644


def test_an_image_that_is_nowhere_is_named_with_the_command(team: Shop) -> None:
    team.git("commit", "--quiet", "--allow-empty", "-m", "Not built")
    sha = team.git("rev-parse", "HEAD")
    before = team.containers()
    said = team.releasekit("up").ended(2).stderr
    assert f"image shop:{sha} is not on this host, and cannot be pulled" in said
    assert f"docker build -t shop:{sha} ." in said
    assert team.containers() == before


def test_a_tag_that_moves_is_refused(team: Shop) -> None:
    said = refused(team, "up", "latest").stderr
    assert "the tag 'latest' means something else tomorrow" in said
    assert 'allow_tags = ["latest"]' in said


def test_an_unknown_commit_is_named(team: Shop) -> None:
    said = refused(team, "up", "0123456789abcdef0123").stderr
    assert "0123456789abcdef0123" in said
    assert "git fetch" in said


def test_an_ambiguous_commit_is_answered_with_those_it_could_be(team: Shop) -> None:
    prefix, twins = twin_commits(team)
    said = refused(team, "up", prefix).stderr
    assert f"'{prefix}' begins" in said
    assert all(sha[:5] in said for sha in twins)
    assert "give more digits" in said


def twin_commits(shop: Shop) -> tuple[str, tuple[str, str]]:
    """Two commits of which the first four digits are the same: among many there are."""
    message = "".join(
        f"commit refs/heads/many\nmark :{n}\ncommitter T <t@shop.example> {n} +0000\ndata 0\n\n"
        for n in range(1, 2000)
    )
    shop.git("fast-import", "--quiet", stdin=message)
    seen: dict[str, str] = {}
    for sha in shop.git("rev-list", "many").split():
        if sha[:4] in seen:
            return sha[:4], (seen[sha[:4]], sha)
        seen[sha[:4]] = sha
    raise AssertionError("2000 commits, and no two begin alike")


def test_an_engine_that_does_not_run_is_told_from_a_failure(team: Shop) -> None:
    said = refused(team, "up", team.first, DOCKER_HOST="unix:///nonexistent.sock").stderr
    assert "the Docker engine does not answer" in said
    assert "systemctl start docker" in said


def test_a_user_who_may_not_talk_to_the_engine_is_told_how_to(team: Shop, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as engine:
        address = tmp_path / "docker.sock"
        engine.bind(str(address))
        engine.listen()
        address.chmod(0)
        command = [RELEASEKIT, "up", team.first]
        if os.geteuid() == 0:  # root without the right to pass over the modes of files
            command = ["setpriv", "--bounding-set=-dac_override,-dac_read_search", *command]
        said = team.run(*command, DOCKER_HOST=f"unix://{address}").ended(2).stderr
    assert "no permission to talk to the Docker engine" in said
    assert "usermod -aG docker" in said


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        ("echo 2.17.3", "Docker Compose 2.17.3 is too old: 2.24 or later is needed"),
        (
            "echo \"docker: 'compose' is not a docker command.\" >&2; exit 1",
            "docker has no compose plugin (Compose v1, `docker-compose`, is too old)",
        ),
    ],
    ids=["too old", "v1 alone"],
)
def test_an_unfit_compose_is_refused(team: Shop, tmp_path: Path, answer: str, says: str) -> None:
    docker = tmp_path / "bin" / "docker"
    docker.parent.mkdir()
    docker.write_text(
        f'#!/bin/sh\n[ "$1 $2" = "compose version" ] && {{ {answer}; exit; }}\n'
        f'exec {shutil.which("docker")} "$@"\n'
    )
    docker.chmod(0o755)
    path = f"{docker.parent}:{os.environ['PATH']}"
    said = refused(team, "up", team.first, PATH=path).stderr
    assert says in said
    assert "docker-compose-plugin" in said
