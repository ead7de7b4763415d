"""What docker's answers mean: its versions, its complaints, its references."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import pytest

from releasekit.compose.docker import Docker, compose_argv, version_tuple
from releasekit.errors import CommandFailed, EngineError
from releasekit.ports import Completed


class Answering:
    """A host on which every command answers the same."""

    def __init__(self, status: int, stdout: str = "", stderr: str = "") -> None:
        self._completed = Completed(status, stdout, stderr)
        self.stdin = ""

    def run(
        self,
        argv: Sequence[str],
        *,
        deadline_s: float,
        stdin: str = "",
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
    ) -> Completed:
        self.stdin = stdin
        return self._completed


def docker(status: int, stdout: str = "", stderr: str = "") -> Docker:
    return Docker(Answering(status, stdout, stderr))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("stderr", "message", "hint"),
    [
        (
            "permission denied while trying to connect to the Docker daemon socket at "
            "unix:///var/run/docker.sock",
            "no permission to talk to the Docker engine",
            "usermod -aG docker",
        ),
        (
            "Cannot connect to the Docker daemon at unix:///var/run/docker.sock. "
            "Is the docker daemon running?",
            "the Docker engine does not answer",
            "systemctl start docker",
        ),
        (
            "docker: 'compose' is not a docker command.",
            "docker has no compose plugin",
            "docker-compose-plugin",
        ),
    ],
)
def test_a_complaint_about_the_engine_says_which_of_the_three_and_what_helps(
    stderr: str, message: str, hint: str
) -> None:
    with pytest.raises(EngineError, match=message) as caught:
        docker(1, stderr=stderr).ask("container", "ls")

    assert hint in caught.value.hint


def test_any_other_failure_keeps_dockers_own_words() -> None:
    with pytest.raises(CommandFailed, match="no space left on device") as caught:
        docker(1, stderr="write /x: no space left on device\n").do("image", "pull", "x")

    assert caught.value.status == 1


def test_a_missing_docker_is_named() -> None:
    with pytest.raises(EngineError, match="docker is not installed"):
        docker(127, stderr="docker: No such file or directory").require_compose()


@pytest.mark.parametrize("version", ["1.29.2", "2.20.2", "v2.23.3-desktop.1"])
def test_an_old_compose_is_refused_with_both_versions(version: str) -> None:
    with pytest.raises(EngineError, match=r"too old: 2\.24 or later"):
        docker(0, stdout=f"{version}\n").require_compose()


@pytest.mark.parametrize("version", ["2.24.0", "v2.26.1-ds1", "5.5.0"])
def test_a_new_compose_is_taken(version: str) -> None:
    docker(0, stdout=f"{version}\n").require_compose()


def test_versions_compare_as_numbers() -> None:
    assert version_tuple("2.26.1-ds1") == (2, 26, 1)
    assert version_tuple("10.0") > version_tuple("9.9")
    assert version_tuple("dev") == ()


def test_images_that_are_not_there_are_left_out() -> None:
    there = [{"Id": "sha256:1", "RepoTags": ["shop:1"], "RepoDigests": None}]
    answer = docker(1, stdout=json.dumps(there), stderr="Error: No such image: shop:2")

    assert list(answer.images(["docker.io/library/shop:1", "shop:2"])) == [
        "docker.io/library/shop:1"
    ]


def test_a_failing_compose_command_tells_no_secret() -> None:
    model = {
        "name": "shop",
        "services": {"web": {"environment": {"DB_PASSWORD": "correct-horse-battery"}}},
    }
    refusing = docker(15, stderr="invalid value correct-horse-battery")

    with pytest.raises(CommandFailed) as caught:
        refusing.compose(model, ["up"])

    assert "correct-horse" not in caught.value.message + caught.value.output


def test_global_options_come_before_the_command() -> None:
    argv = compose_argv(files=("a", "b"), project="p", profiles=("*",), env_files=("e",))

    assert argv == (
        "docker compose --file a --file b --profile * --env-file e --project-name p".split()
    )
