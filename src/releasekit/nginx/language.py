"""nginx's configuration language: directives, and words that its lexer gives back as they were."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

_BARE = re.compile(r"[A-Za-z0-9_./:=@%,?&+~^$()\[\]-]+")


@dataclass(frozen=True, slots=True)
class Directive:
    """One directive of nginx's language; `block` None ends it with a semicolon."""

    words: tuple[str, ...]
    block: tuple[Directive, ...] | None = None

    def lines(self, indent: str = "") -> Iterator[str]:
        head = indent + " ".join(map(quote, self.words))
        if self.block is None:
            yield f"{head};"
            return
        yield f"{head} {{"
        for inner in self.block:
            yield from inner.lines(f"{indent}    ")
        yield f"{indent}}}"


def directive(*words: str, block: Iterable[Directive] | None = None) -> Directive:
    return Directive(words, None if block is None else tuple(block))


def written(directives: Iterable[Directive]) -> str:
    """The text of a file of these."""
    return "".join(f"{line}\n" for each in directives for line in each.lines())


def quote(word: str) -> str:
    """`word` as nginx's lexer gives it back. Quotes do not keep `$name` from being a variable."""
    if _BARE.fullmatch(word):
        return word
    return "'" + word.replace("\\", r"\\").replace("'", r"\'") + "'"
