"""What a managed file tells of itself: whether it is as it was written, and what of it nginx could
refuse. Pure."""

from __future__ import annotations

import hashlib
import re

_HEAD = "# Managed by releasekit, do not edit: a release stops at a file that was.\n# SHA-256 {}\n"
_MARKED = re.compile(re.escape(_HEAD).replace(r"\{\}", "([0-9a-f]{64})"))
_GENERATION = re.compile(r'"generation":"([^"]*)"')

MANY = 50
"""So many servers fit in a zone, however long their names are."""

_FREE = (
    (re.compile(r"^    server \S+( resolve| max_fails=0| weight=\d{1,9}| down)*;$"), "    server"),
    (re.compile(r"^(    location = /through/\S+)/\S+ \{$"), r"\1/"),
    (re.compile(r"^(        set \$releasekit__\w+) .*;$"), r"\1"),
    (re.compile(r"^(    ~\^?,?)[0-9a-f]{32}"), r"\1"),
    (re.compile(r"^(    ~\^)\([0-9|]+\)"), r"\1"),
)
"""What may differ between two files of which nginx takes both or neither: which replicas there
are, where and with which weights, what the control server tells of them, and when a bake is on."""


def marked(body: str) -> str:
    """`body` below lines that tell whether it was edited since."""
    return _HEAD.format(_digest(body)) + body


def is_whole(text: str) -> bool:
    """Whether the file is as releasekit wrote it, in this run or another."""
    head = _MARKED.match(text)
    return head is not None and head[1] == _digest(text[head.end() :])


def shown(text: str) -> str:
    """`text` without the digest, which every writing changes."""
    head = _MARKED.match(text)
    return text if head is None else text.replace(head[1], "•••", 1)


def generation(text: str) -> str:
    """The generation that the file tells; "" when it tells none."""
    found = _GENERATION.search(text)
    return found[1] if found else ""


def shape(text: str) -> frozenset[str]:
    """What of a whole file nginx could refuse: with the same files of the user beside them, of two
    files of one shape it takes both or neither."""
    head = _MARKED.match(text)
    lines = text[head.end() if head else 0 :].splitlines()
    servers = sum(line.startswith("    server ") for line in lines)
    found = {_freed(line) for line in lines}
    return frozenset(found | ({f"{servers} servers"} if servers > MANY else set()))


def _freed(line: str) -> str:
    for pattern, kept in _FREE:
        line = pattern.sub(kept, line)
    return line


def _digest(body: str) -> str:
    return hashlib.sha256(body.encode()).hexdigest()
