"""The git repository that a release is made from: its commits, and what no commit holds."""

from __future__ import annotations

import os
import re
import shutil
import subprocess  # noqa: TID251 - git runs where the release is made, which is not the host
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from tempfile import TemporaryDirectory

from releasekit.errors import AmbiguousRelease, DeadlineExceeded, DirtyTree, UnknownRelease
from releasekit.redact import clean

_DEADLINE_S = 10.0
_SHA = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_PREFIX = re.compile(r"[0-9a-fA-F]{4,64}")
"""What can begin a sha; git itself wants four digits."""
_SHOWN = 10
_NEAR = 5

_AS_TEXT = ("--no-show-signature", "--encoding=UTF-8")
_STATUS = (
    *("status", "--porcelain=v1", "-z", "--no-renames"),
    # The user's own settings may hide these.
    *("--untracked-files=normal", "--ignore-submodules=none"),
)

# Inside a git hook these point at another repository or index than the one at the path.
_REDIRECTS = frozenset(
    "GIT_DIR GIT_WORK_TREE GIT_COMMON_DIR GIT_INDEX_FILE GIT_PREFIX GIT_NAMESPACE"
    " GIT_OBJECT_DIRECTORY GIT_ALTERNATE_OBJECT_DIRECTORIES".split()
)
# Output that no locale changes, no questions, and no refresh of the index behind the user's back.
_QUIET = {"LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0", "GIT_OPTIONAL_LOCKS": "0"}


@dataclass(frozen=True, slots=True)
class Commit:
    """A commit; `subject` and `author` are free of control characters."""

    sha: str
    subject: str
    author: str


def is_repository(path: Path) -> bool:
    """Whether `path` is in a git repository, and git is there to read it."""
    try:
        return _git(path, "rev-parse", "--git-dir").returncode == 0
    except UnknownRelease:
        return False


def commit(path: Path, ref: str) -> Commit:
    """The commit that `ref` (a sha or its beginning, a branch, a tag, `HEAD~1`) stands for.

    Raises `UnknownRelease`, with the commits or names near it, or `AmbiguousRelease`.
    """
    if not ref or ref.startswith("-") or not ref.isprintable():
        raise UnknownRelease(f"{ref!r} is no commit, branch or tag")
    done = _git(path, "rev-parse", "--verify", "--end-of-options", f"{ref}^{{commit}}")
    sha = done.stdout.strip()
    if done.returncode != 0 or not _SHA.fullmatch(sha):  # `^main` succeeds, and is none
        raise _refusal(path, ref)
    told = _checked(path, "log", "-1", *_AS_TEXT, "--format=%an%n%s", sha)
    author, _, subject = clean(told.rstrip("\n")).partition("\n")
    return Commit(sha, subject, author)


def working_tree_tag(path: Path, sha: str, *, allow_dirty: bool) -> str:
    """The tag of the working tree at `path`, whose HEAD is `sha`: `sha` itself when it is clean.

    The whole repository counts, also where `path` is a folder in it: nothing tells which other
    folders a build reads. Files that git does not know count, ignored ones do not. With
    `allow_dirty` the tag is `<sha>-dirty-<tree>`, the same for the same content; only what a
    submodule has not committed does not show in it.

    Raises `DirtyTree` when there are changes, unless `allow_dirty`.
    """
    status = _checked(path, *_STATUS)
    changed = [clean(entry[3:]) for entry in status.split("\0") if entry]
    if not changed:
        return sha
    if allow_dirty:
        return f"{sha}-dirty-{_tree(path)[:12]}"
    more = [f"and {len(changed) - _SHOWN} more"] if len(changed) > _SHOWN else []
    raise DirtyTree(
        _indented("the working tree has changes that no commit holds:", changed[:_SHOWN] + more),
        hint="commit them, or release them as they are with --dirty",
    )


def _tree(path: Path) -> str:
    """The id of the working tree's content, leaving index and objects of the repository alone.

    It starts from a copy of the index rather than from HEAD: git then need not read every file
    again, and files that are tracked although ignored count.
    """
    paths = _checked(path, "rev-parse", "--git-path", "index", "--git-path", "objects")
    index, objects = (path.absolute() / line for line in paths.splitlines())
    with TemporaryDirectory(prefix="releasekit-") as folder:
        own_index, own_objects = Path(folder, "index"), Path(folder, "objects")
        own_objects.mkdir()
        if index.exists():
            shutil.copy2(index, own_index)  # with its time, by which git tells what is stale
        env = {
            "GIT_INDEX_FILE": str(own_index),
            "GIT_OBJECT_DIRECTORY": str(own_objects),
            "GIT_ALTERNATE_OBJECT_DIRECTORIES": str(objects),
        }
        _checked(path, "add", "--all", env=env)
        return _checked(path, "write-tree", env=env).strip()


def _refusal(path: Path, ref: str) -> UnknownRelease | AmbiguousRelease:
    """Why `ref` is no commit."""
    _checked(path, "rev-parse", "--git-dir")
    if ref == "HEAD":
        return UnknownRelease(f"the git repository at {path} has no commit yet")
    begun = _begun_alike(path, ref.lower()) if _PREFIX.fullmatch(ref) else []
    if len(begun) > 1 and begun[0].startswith(ref.lower()):
        return AmbiguousRelease(
            _indented(f"{ref!r} begins {len(begun)} commits:", _described(path, begun)),
            hint="give more digits",
        )
    near = _described(path, begun) or _named_alike(path, ref)
    message = f"no commit, branch or tag {ref!r} in {path}"
    return UnknownRelease(
        _indented(f"{message}; near it:", near) if near else message,
        hint="if it is only on the remote: git fetch --tags (a shallow clone: with --unshallow)",
    )


def _begun_alike(path: Path, prefix: str) -> list[str]:
    """The commits that share the most digits with `prefix` from its start, four at least."""
    objects = _checked(path, "rev-parse", f"--disambiguate={prefix[:4]}")
    kinds = _checked(path, "cat-file", "--batch-check=%(objectname) %(objecttype)", stdin=objects)
    shas = sorted(line.split()[0] for line in kinds.splitlines() if line.endswith(" commit"))
    for digits in range(len(prefix), 3, -1):
        if alike := [sha for sha in shas if sha.startswith(prefix[:digits])]:
            return alike
    return []


def _named_alike(path: Path, ref: str) -> list[str]:
    """Branches and tags with a name like `ref`, each with its commit."""
    listed = _checked(path, "for-each-ref", "--format=%(refname:short) %(refname)")
    names = dict(line.split(" ") for line in listed.splitlines())
    near = get_close_matches(ref, names, n=_NEAR)
    return [f"{name}  {''.join(_described(path, [names[name]]))}" for name in near]


def _described(path: Path, refs: Sequence[str]) -> list[str]:
    """The first of `refs` as `<short sha> <subject>`."""
    log = ("log", "-1", *_AS_TEXT, "--format=%h %s")
    return [clean(_checked(path, *log, ref)).strip() for ref in refs[:_NEAR]]


def _indented(head: str, lines: Sequence[str]) -> str:
    return "\n  ".join([head, *lines])


def _checked(path: Path, *args: str, stdin: str = "", env: Mapping[str, str] | None = None) -> str:
    """What git printed; raises `UnknownRelease` with git's own reason when it failed."""
    done = _git(path, *args, stdin=stdin, env=env)
    if done.returncode != 0:
        reason = clean(done.stderr).strip() or f"exit status {done.returncode}"
        raise UnknownRelease(f"git cannot read {path}: {reason}")
    return done.stdout


def _git(
    path: Path, *args: str, stdin: str = "", env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    # This process's own, whatever environment `Project.load` was given: HOME and SSH agent, which
    # git needs, are those of who runs this.
    inherited = {name: value for name, value in os.environ.items() if name not in _REDIRECTS}
    try:
        return subprocess.run(
            ["git", "-C", str(path), *args],
            input=stdin,
            env={**inherited, **_QUIET, **(env or {})},
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=_DEADLINE_S,
            check=False,
        )
    except FileNotFoundError:
        raise UnknownRelease("git is not installed here, or not on the PATH") from None
    except subprocess.TimeoutExpired:
        raise DeadlineExceeded(f"git {args[0]} at {path} took over {_DEADLINE_S:g} s") from None
