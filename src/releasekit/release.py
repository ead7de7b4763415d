"""What is shipped: a release's tag, and the commit it was made from."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from releasekit import git
from releasekit.errors import InvalidRelease

TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
"""Docker's own grammar of an image tag, so that nothing else can reach a command or a path."""

MUTABLE_TAGS = frozenset(
    "latest stable edge nightly main master trunk develop dev test staging production prod".split()
)
"""Tags that mean something else tomorrow: what they named yesterday cannot be rolled back to."""


@dataclass(frozen=True, slots=True)
class Release:
    """A tag, normally a full git SHA, with what its commit says.

    Raises `InvalidRelease` when `tag` is no legal image tag.
    """

    tag: str
    subject: str = ""
    author: str = ""

    def __post_init__(self) -> None:
        if not TAG.fullmatch(self.tag):
            raise InvalidRelease(
                f"{self.tag!r} is not a legal image tag",
                hint="use a git SHA: letters, digits, '_', '.' and '-', at most 128",
            )

    @classmethod
    def from_git(cls, ref: str = "HEAD", *, dirty: bool = False, path: Path | str = ".") -> Release:
        """The release of `ref`'s commit in the git repository at `path`.

        `HEAD` is refused when the tree has changes that no commit holds: its image could not be
        told from the commit's own. With `dirty` such a tree gets a stable tag of its own,
        `<sha>-dirty-<tree>`, the same for the same content.

        Raises `DirtyTree`, `UnknownRelease` (no such commit) or `AmbiguousRelease`.
        """
        commit = git.commit(Path(path), ref)
        tag = commit.sha
        if ref == "HEAD":
            tag = git.working_tree_tag(Path(path), commit.sha, allow_dirty=dirty)
        return cls(tag=tag, subject=commit.subject, author=commit.author)


def short(release: str) -> str:
    """A tag or a release id (`<tag>~<digest>`) as people read it: a SHA's first 7 digits."""
    return re.sub(r"\b([0-9a-f]{7})[0-9a-f]{33}\b", r"\1", release.partition("~")[0])
