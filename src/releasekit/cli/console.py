"""rich's console, made safe for a program that must not end because nobody looks any more."""

from __future__ import annotations

from rich.console import Console


class Screen(Console):
    """Shows text as it is: no markup, emoji or guessed highlights in what others wrote."""

    def __init__(self, *, stderr: bool = False, width: int | None = None) -> None:
        super().__init__(stderr=stderr, width=width, markup=False, emoji=False, highlight=False)
        if not self.width:  # COLUMNS=0, of which rich would make lines without characters
            self.width = 80

    def on_broken_pipe(self) -> None:
        """Go quiet; rich itself would exit, in the midst of a release."""
        self.quiet = True
