"""How often a release calls docker: as often for many replicas as for one.

What counts is every distinct command of a step. The same command once more in the same step is
waiting: how often that happens depends on how fast the machine is, not on the replicas. A command
for each replica would be distinct by its name, and count each time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from releasekit import Project
from releasekit.events import Event, StepEnded, StepStarted
from releasekit.hosts.local import LocalHost
from releasekit.ports import Completed
from tests.e2e.shop import Shop

pytestmark = pytest.mark.e2e

OUTSIDE = "before, between and after the steps"
MANY = 5


@dataclass
class Calls:
    """The commands that the host runs, each with the step that runs it."""

    step: str = OUTSIDE
    all: list[tuple[str, tuple[str, ...]]] = field(default_factory=list)

    def note(self, argv: Sequence[str]) -> None:
        self.all.append((self.step, tuple(argv)))

    def hear(self, event: Event) -> None:
        match event:
            case StepStarted(number=number, step=step):
                self.step = f"{number} {type(step).__name__}"
            case StepEnded():
                self.step = OUTSIDE

    def counts(self) -> Counter[tuple[str, ...]]:
        """How many distinct commands of each kind each step ran."""
        return Counter((step, *argv[:3]) for step, argv in set(self.all))

    def about(self, kind: str) -> set[tuple[str, ...]]:
        """The commands of all steps of this kind."""
        return {argv for step, argv in self.all if step.endswith(f" {kind}")}


Release = Callable[[int], Calls]


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Release]:
    """Releases so many web replicas the third time in a row: as every later time will be."""
    with Shop.opened(tmp_path_factory.mktemp("calls")) as shop:
        shas = [shop.first, shop.commit("Say what is new")]

        def run(replicas: int) -> Calls:
            shop.configure(web=f"replicas = {replicas}")
            for sha in shas:
                shop.up(sha).ended(0)
            calls = Calls()
            project = Project.load(shop.folder, environ=shop.environment(), events=calls.hear)
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(LocalHost, "run", noting(calls))
                project.up(project.release(shas[0]))
            return calls

        yield run


def noting(calls: Calls) -> Callable[..., Completed]:
    """`LocalHost.run`, and `calls` knows."""
    run = LocalHost.run

    def noted(host: LocalHost, argv: Sequence[str], **given: Any) -> Completed:
        calls.note(argv)
        return run(host, argv, **given)

    return noted


def test_a_blue_green_release_calls_docker_as_often_for_many_replicas_as_for_one(
    release: Release,
) -> None:
    one, many = release(1), release(MANY)
    assert many.counts() == one.counts()
    (web,) = (argv for argv in many.about("AwaitHealthy") if "-web-" in argv[-1])
    assert len(web) == len(("docker", "container", "inspect")) + MANY, web
