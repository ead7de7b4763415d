"""A migration's container: what docker's answers mean for it, and what nobody can know."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from releasekit.compose import once
from releasekit.compose.docker import Docker
from releasekit.errors import CommandFailed, DeadlineExceeded, StepFailed
from releasekit.ports import Completed
from releasekit.testing import FakeHost

NAME = "shop-migration"
PASSWORD = "correct-horse-battery"
WEB: Mapping[str, Any] = {
    "image": "sha256:1",
    "command": ["serve"],
    "container_name": "web",
    "depends_on": {"db": {"condition": "service_healthy"}},
    "environment": {"DB_PASSWORD": PASSWORD},
    "mac_address": "02:42:ac:11:00:02",
    "networks": {"default": {"aliases": ["shop"], "ipv4_address": "172.20.0.9"}},
    "ports": [{"target": 8080, "published": "80"}],
    "volumes": [{"type": "volume", "source": "data", "target": "/data"}],
}
MODEL: Mapping[str, Any] = {
    "name": "shop",
    "services": {"web": WEB, "db": {"image": "postgres"}},
    "networks": {"default": {"name": "shop_default"}},
    "volumes": {"data": {"name": "shop_data"}},
}
ONCE = once.once_model(MODEL, "web", ["bin/migrate", "$HOME"], "1~a", "shop")


def container(status: str, *, code: int = 0, release: str = "1~a") -> str:
    labels = {"releasekit.release": release} if release else {}
    state = {"Status": status, "ExitCode": code}
    facts = {"Id": "c1", "Name": f"/{NAME}", "State": state, "Config": {"Labels": labels}}
    return json.dumps([facts])


NONE = Completed(1, "[]", f"Error: No such container: {NAME}")
UP = Completed(0, container("running"), "")
Answer = Completed | Exception


class Engine(FakeHost):
    """Answers each kind of docker command from a list, the last of it for ever."""

    def __init__(self, **answers: Sequence[Answer]) -> None:
        super().__init__()
        self.answers = {word: list(said) for word, said in answers.items()}
        self.asked: list[str] = []

    def run(self, argv: Sequence[str], **_: Any) -> Completed:
        word = next((word for word in self.answers if word in argv), "")
        self.asked += [word] if word else []
        said = self.answers.get(word, [Completed(0, "", "")])
        answer = said.pop(0) if len(said) > 1 else said[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


def run(**answers: Sequence[Answer]) -> Engine:
    engine = Engine(**{"inspect": [NONE, UP], **answers})
    once.run(Docker(engine), ONCE, NAME, 5.0)
    return engine


def test_its_container_is_like_the_services_and_has_nothing_that_only_one_can_have() -> None:
    assert ONCE["name"] == "shop-releases"
    assert ONCE["services"] == {
        "migration": {
            "image": "sha256:1",
            "command": ["bin/migrate", "$$HOME"],
            "environment": {"DB_PASSWORD": PASSWORD},
            "labels": {
                "releasekit.project": "shop",
                "releasekit.service": "web",
                "releasekit.release": "1~a",
                "releasekit.slot": "migration",
            },
            "networks": {"default": None},
            "pull_policy": "never",
            "scale": 1,
            "volumes": [{"type": "volume", "source": "data", "target": "/data"}],
        }
    }
    assert ONCE["networks"] == {"default": {"name": "shop_default", "external": True}}


def test_one_that_ends_well_is_removed() -> None:
    engine = run(run=[Completed(0, "c1", "")], wait=[Completed(0, "0\n", "")], rm=[UP])
    assert engine.asked == ["inspect", "run", "wait", "inspect", "rm"]


def test_what_is_left_of_another_one_goes_first() -> None:
    left = Completed(0, container("exited", code=137), "")
    engine = run(inspect=[left, UP], run=[UP], wait=[Completed(0, "0", "")], rm=[UP])
    assert engine.asked[:3] == ["inspect", "rm", "run"]


def test_a_container_of_somebody_else_is_not_touched() -> None:
    foreign = Completed(0, container("exited", release=""), "")
    taken = Completed(1, "", f"Conflict. The container name {NAME} is already in use")
    engine = Engine(inspect=[foreign], run=[taken], rm=[UP])
    with pytest.raises(CommandFailed, match="already in use"):
        once.run(Docker(engine), ONCE, NAME, 5.0)
    assert "rm" not in engine.asked


def test_one_that_fails_tells_its_last_words_and_no_secret() -> None:
    said = Completed(0, "no column\n", f"asked as {PASSWORD}\n")
    with pytest.raises(StepFailed) as caught:
        run(run=[UP], wait=[Completed(0, "7", "")], logs=[said])
    assert caught.value.message == (
        "the migration ended with status 7: the database may have been changed by what it did"
    )
    assert caught.value.log_tail == {NAME: ("no column", "asked as •••")}


def test_one_that_takes_too_long_is_stopped() -> None:
    waits = [DeadlineExceeded("5 s"), Completed(0, "137", "")]
    with pytest.raises(StepFailed, match="did not end within 5 s, and was stopped"):
        run(run=[UP], wait=waits, stop=[UP], logs=[UP])


@pytest.mark.parametrize("status", ["", "created"])
def test_one_that_never_began_changed_nothing(status: str) -> None:
    found = Completed(0, container(status), "") if status else NONE
    failed = Completed(1, "", 'exec: "bin/migrate": no such file')
    with pytest.raises(StepFailed, match=r"could not be started: .*no such file") as caught:
        run(inspect=[NONE, found], run=[failed], rm=[UP])
    with pytest.raises(StepFailed, match="could not be started: the Docker engine"):
        run(inspect=[NONE, found], run=[Completed(1, "", AWAY)], rm=[UP])
    assert "may have been changed" not in caught.value.message


@pytest.mark.parametrize(
    "answers",
    [
        {"run": [DeadlineExceeded("600 s")], "inspect": [NONE]},
        {"run": [Completed(1, "", "connection lost")]},
        {"run": [UP], "wait": [Completed(1, "", "connection lost")]},
        {"run": [UP], "wait": [Completed(None, "", "")]},
        {"run": [UP], "wait": [DeadlineExceeded("5 s"), DeadlineExceeded("600 s")], "stop": [UP]},
        {"run": [Completed(1, "", "gone")], "inspect": [NONE, DeadlineExceeded("30 s")]},
    ],
)
def test_what_nobody_knows_is_no_failure(answers: Mapping[str, Sequence[Answer]]) -> None:
    with pytest.raises(CommandFailed):
        run(**answers)


AWAY = "error during connect: EOF"


@pytest.mark.parametrize("complaint", ["no engine", AWAY])
def test_an_end_that_is_known_stays_known_when_the_engine_goes(complaint: str) -> None:
    run(run=[UP], wait=[Completed(0, "0", "")], rm=[Completed(1, "", complaint)])
    with pytest.raises(StepFailed, match="ended with status 7"):
        run(run=[UP], wait=[Completed(0, "7", "")], logs=[DeadlineExceeded("30 s")])


@pytest.mark.parametrize(
    ("found", "told"),
    [
        (NONE, ("its container is gone", False)),
        (UP, ("its container shop-migration still runs", True)),
        (
            Completed(0, container("created"), ""),
            ("its container shop-migration was not started", False),
        ),
        (
            Completed(0, container("exited", code=137), ""),
            ("its container shop-migration ended with status 137", False),
        ),
    ],
)
def test_what_became_of_it_is_told_in_words(found: Completed, told: tuple[str, bool]) -> None:
    assert once.told(Docker(Engine(inspect=[found])), NAME) == told
