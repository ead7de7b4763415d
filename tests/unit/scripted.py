"""A docker that says what a test has it say."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from releasekit.ports import Answer, Completed
from releasekit.testing import FakeHost


class Script(FakeHost):
    """A host that answers docker commands by a word in them, and keeps what was asked."""

    def __init__(self, **answers: Completed | Exception) -> None:
        super().__init__()
        self.answers = answers
        self.asked: list[list[str]] = []
        self.env: Mapping[str, str] = {}
        """Of the last command."""
        self.body = ""

    def run(
        self,
        argv: Sequence[str],
        *,
        deadline_s: float,
        stdin: str = "",
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
        is_stopped: Callable[[], bool] | None = None,
    ) -> Completed:
        self.asked.append(list(argv))
        self.env = env or {}
        found = (answer for word, answer in self.answers.items() if word in argv)
        answer = next(found, Completed(0, "", ""))
        if isinstance(answer, Exception):
            raise answer
        return answer

    def http_get(
        self,
        address: str,
        port: int,
        path: str,
        *,
        headers: Mapping[str, str],
        deadline_s: float,
    ) -> tuple[Answer, str]:
        return Answer(500), self.body
