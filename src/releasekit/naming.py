"""What people call releases, each other and moments: pure answers to "which one do you mean?"."""

from __future__ import annotations

import difflib
import getpass
import os
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

from releasekit import git
from releasekit.errors import AmbiguousRelease, InvalidRelease, UnknownRelease
from releasekit.release import MUTABLE_TAGS, Release, short

_FULL_SHA = re.compile(r"[0-9a-f]{40}(-dirty-[0-9a-f]{12})?")
_HEX = re.compile(r"[0-9a-f]{1,39}")
_VERSION = re.compile(r"(?=.*[0-9]).*\..*")
"""An image's version, such as v1.2.3, which git need not know."""


def release_named(sha: str, folder: Path, stored: Callable[[], Collection[str]]) -> Release:
    """The release that `sha` names: a commit, a stored release, or a whole tag as it is.

    As it is goes a full SHA, which a shallow clone may lack, a version, which has a digit and a
    dot, and a tag that moves, which is refused elsewhere unless it is allowed by name. Any other
    name that neither git nor the host knows is a slip within a repository; without one it is a
    tag too, unless it could begin a SHA.

    `stored` gives the ids of the releases on the host; it is asked only when git does not know.
    """
    if git.is_repository(folder):
        try:
            return Release.from_git(sha, path=folder)
        except UnknownRelease as error:
            unknown, is_slip = error, not _is_tag(sha)
    else:
        is_slip = bool(_HEX.fullmatch(sha))
        unknown = UnknownRelease(f"{sha}: {folder} is no git repository")
    if _FULL_SHA.fullmatch(sha):
        return Release(sha)
    tags = sorted({tag_of(release) for release in stored()})
    if sha in tags:
        return Release(sha)
    found = [tag for tag in tags if tag.startswith(sha)]
    if len(found) == 1:
        return Release(found[0])
    if len(found) > 1:
        raise AmbiguousRelease(f"{sha} could be any of {_listed(found)}", hint="give more digits")
    if is_slip:
        raise unknown
    return Release(sha)


def _is_tag(name: str) -> bool:
    return bool(_VERSION.fullmatch(name)) or name.lower() in MUTABLE_TAGS


def tag_of(release: str) -> str:
    """The tag of a release id (`<tag>~<digest>`)."""
    return release.partition("~")[0]


def rollback_target(
    to: str | None,
    stack: Sequence[str],
    stored: Collection[str],
    ever_committed: Collection[str] = (),
) -> str:
    """The id of the release to go back to: the last good one, or the one that `to` names: its id,
    its tag, its tag as history shows it, or the beginning of one.

    `stack` are the releases committed to, oldest first (the last one is current), `ever_committed`
    also those that were rolled back from; `stored` are the ids on the host. Of one tag's several
    configurations it is the one committed to last. Raises `UnknownRelease` or `AmbiguousRelease`.
    """
    if not stack:
        raise UnknownRelease("nothing was released here yet: there is nothing to go back to")
    if to is None:
        if len(stack) < 2:
            raise UnknownRelease(f"{short(stack[-1])} is the first release: nothing came before it")
        return stack[-2]
    found = _meant(to, stored)
    if not found:
        near = difflib.get_close_matches(to, stored, n=3, cutoff=0.3) or list(stack[-4:-1])
        raise UnknownRelease(
            f"no stored release begins with {to!r}",
            hint=f"stored: {_listed(near)}; `releasekit history` has them all",
        )
    if len({tag_of(release) for release in found}) > 1:
        raise AmbiguousRelease(f"{to} could be any of {_listed(found)}", hint="give more digits")
    recent = [release for release in stack if release in found]
    proven = sorted(release for release in found if release in ever_committed)
    return (recent or proven or sorted(found))[-1]


def _meant(to: str, stored: Collection[str]) -> list[str]:
    """The releases that `to` names whole, or else begins: a clean SHA also begins its dirty one."""
    for name in (str, tag_of, short):
        if found := [release for release in stored if name(release) == to]:
            return found
    return [release for release in stored if release.startswith(to)]


def require_immutable(tag: str, allowed: Collection[str]) -> None:
    """Raise `InvalidRelease` for a tag that names something else tomorrow."""
    if tag.lower() in MUTABLE_TAGS and tag not in allowed:
        raise InvalidRelease(
            f"the tag {tag!r} means something else tomorrow: it cannot be rolled back to",
            hint=f'release a git SHA, or allow it by name: allow_tags = ["{tag}"]',
        )


def who(environ: Mapping[str, str], host: str) -> dict[str, str]:
    """Who asks for a run (`by`) and from where (`origin`): a CI job's address, or a machine."""
    by = environ.get("SUDO_USER") or environ.get("USER") or _login()
    return {"by": by, "origin": _ci_job(environ) or _client(environ) or host}


def minute(utc: str) -> str:
    """A moment in ISO 8601 as messages have it: `2026-11-20 06:15 UTC`."""
    return f"{utc[:16].replace('T', ' ')} UTC"


def _login() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # in a CI container a uid need not have a name
        return str(os.getuid())


def _ci_job(environ: Mapping[str, str]) -> str:
    """The address of the CI job that runs this: GitLab's, Jenkins', GitHub's variables."""
    for name in ("CI_JOB_URL", "BUILD_URL"):
        if environ.get(name):
            return environ[name]
    parts = [environ.get(f"GITHUB_{part}", "") for part in ("SERVER_URL", "REPOSITORY", "RUN_ID")]
    server, repository, run = parts
    return f"{server}/{repository}/actions/runs/{run}" if all(parts) else ""


def _client(environ: Mapping[str, str]) -> str:
    """The address that an SSH login to this machine came from."""
    return environ.get("SSH_CONNECTION", "").partition(" ")[0]


def _listed(releases: Sequence[str]) -> str:
    return ", ".join(short(release) for release in releases[:5])
