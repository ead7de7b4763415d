"""rich's console, made safe for a program that must not end because nobody looks any more."""

from __future__ import annotations

from rich.console import Console


class Screen(Console):
    """Shows text as it is: no markup, emoji or guessed highlights in what others wrote."""

    def __init__(self, *, stderr: bool = False, width: int | None = None) -> None:
        super().__init__(stderr=stderr, width=width, markup=False, emoji=False, highlight=False)

    def on_broken_pipe(self) -> None:
        """Go quiet; rich itself would exit, in the midst of a release."""
        self.quiet = True
