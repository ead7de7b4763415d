"""A release: a tag that is one, and the commit that it tells of."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from releasekit.errors import DirtyTree, InvalidRelease, UnknownRelease
from releasekit.release import MUTABLE_TAGS, Release, short

SHA = "0123456789abcdef0123456789abcdef01234567"


def run(folder: Path, *args: str) -> str:
    who = ["-c", "user.name=Ann", "-c", "user.email=ann@example.com"]
    argv = ["git", "-C", str(folder), *who, *args]
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def repo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    run(tmp_path, "init", "--quiet", "--initial-branch=main")
    (tmp_path / "app.py").write_text("print('shop')\n")
    run(tmp_path, "add", "--all")
    run(tmp_path, "commit", "--quiet", "--message", "Open the shop")
    return tmp_path


def test_a_release_is_tagged_with_the_full_sha_of_its_commit(repo: Path) -> None:
    sha = run(repo, "rev-parse", "HEAD")

    for ref in ("HEAD", "main", sha[:7]):
        assert Release.from_git(ref, path=repo) == Release(sha, "Open the shop", "Ann")


def test_a_release_of_the_working_tree_wants_it_clean(repo: Path) -> None:
    (repo / "app.py").write_text("print('sale')\n")

    with pytest.raises(DirtyTree):
        Release.from_git(path=repo)


def test_a_dirty_release_has_a_legal_tag_that_the_same_tree_gets_again(repo: Path) -> None:
    sha = run(repo, "rev-parse", "HEAD")
    (repo / "app.py").write_text("print('sale')\n")

    release = Release.from_git(path=str(repo), dirty=True)

    assert re.fullmatch(rf"{sha}-dirty-[0-9a-f]{{12}}", release.tag)
    assert release == Release.from_git(path=repo, dirty=True)


def test_a_named_commit_is_released_whatever_the_tree_looks_like(repo: Path) -> None:
    sha = run(repo, "rev-parse", "HEAD")
    (repo / "app.py").write_text("print('sale')\n")

    assert Release.from_git("main", path=repo).tag == sha


def test_a_commit_that_is_not_there_is_unknown(repo: Path) -> None:
    with pytest.raises(UnknownRelease):
        Release.from_git("v9", path=repo)


@pytest.mark.parametrize(
    "tag", [SHA, f"{SHA}-dirty-0123456789ab", "1.2.3", "_", "a" * 128, *sorted(MUTABLE_TAGS)]
)
def test_what_docker_takes_for_a_tag_is_a_tag(tag: str) -> None:
    assert Release(tag).tag == tag


@pytest.mark.parametrize(
    "tag",
    [
        "",
        "-x",
        ".x",
        "a/b",
        "../x",
        "a b",
        "a\n",
        "a;b",
        "$(id)",
        "a:b",
        "a@b",
        "\u0430",  # Cyrillic
        "a" * 129,
        "\0",
    ],
)
def test_nothing_else_is_a_tag(tag: str) -> None:
    with pytest.raises(InvalidRelease) as caught:
        Release(tag)

    assert caught.value.message == f"{tag!r} is not a legal image tag"
    assert caught.value.exit_code == 2


@given(st.text())
def test_a_tag_can_never_be_an_option_or_leave_its_folder(tag: str) -> None:
    try:
        Release(tag)
    except InvalidRelease:
        return
    assert re.fullmatch(r"[\w.-]{1,128}", tag, re.ASCII)
    assert not tag.startswith(("-", "."))


@pytest.mark.parametrize(
    ("tag", "read"),
    [
        (SHA, "0123456"),
        (f"{SHA}~89abcdef", "0123456"),
        (f"{SHA}-dirty-0123456789ab", "0123456-dirty-0123456789ab"),
        ("1.2.3", "1.2.3"),
        ("latest", "latest"),
        (SHA[:39], SHA[:39]),
        ("", ""),
    ],
)
def test_a_sha_is_read_by_its_first_digits_and_all_else_as_it_is(tag: str, read: str) -> None:
    assert short(tag) == read
