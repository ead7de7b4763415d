"""Progress that moves: the running step with a spinner, those before it with a tick or a cross."""

from __future__ import annotations

import time
from collections.abc import Callable

from rich.live import Live
from rich.text import Text

from releasekit.cli.console import Screen
from releasekit.cli.render import Plain, quoted, took
from releasekit.events import StepEnded, StepProgress, StepStarted
from releasekit.redact import clean
from releasekit.steps import Phase

FRAMES = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
FRAMES_PER_S = 10
STYLES = {"error": "bold red", "warning": "yellow", "stopping": "yellow", "next": "cyan"}


class Animated(Plain):
    """Progress for a terminal."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(clock)
        self._screen = Screen(stderr=True)
        self._live: Live | None = None
        self._phase: Phase | None = None

    def say(self, message: str) -> None:
        text = Text(quoted(message))
        word = text.plain.partition(":")[0]
        text.stylize(STYLES.get(word, ""), 0, len(word) + 1)
        text.highlight_regex("^✓", "green")
        self._screen.print(text, soft_wrap=True)

    def head(self, message: str) -> None:
        self._phase = None
        self.say(message)

    def started(self, event: StepStarted) -> None:
        self.close()
        if event.step.phase is not self._phase:
            self._phase = event.step.phase
            self._screen.print(Text(self._phase.name.lower(), "bold"))
        self._event, self._since, self._detail = event, self._clock(), ""
        # Its redirection would send to stderr what belongs on stdout.
        self._live = Live(
            get_renderable=self._running,
            console=self._screen,
            refresh_per_second=FRAMES_PER_S,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._live.start()

    def progressed(self, event: StepProgress) -> None:
        self._detail = clean(event.detail)

    def ended(self, event: StepEnded) -> None:
        self.close()
        mark = ("  ✗ ", "red") if event.error else ("  ✓ ", "green")
        line = Text.assemble(
            mark,
            f"{type(event.step).__name__:<14}",
            clean(str(event.step)),
            (f"  {took(event.seconds)}", "dim"),
            (f"\n    {quoted(event.error)}" if event.error else "", "red"),
        )
        self._screen.print(line, soft_wrap=True)

    def close(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _running(self) -> Text:
        elapsed = self._clock() - self._since
        step = self._event.step
        return Text.assemble(
            ("  " + FRAMES[int(elapsed * FRAMES_PER_S) % len(FRAMES)], "cyan"),
            f" {type(step).__name__:<14}",
            (f"{self._event.number}/{self._event.total}  {elapsed:.1f} s  ", "dim"),
            self._detail or clean(str(step)),
            no_wrap=True,
            overflow="ellipsis",
        )
