"""Which release people mean, and who they are."""

from __future__ import annotations

import getpass
import os
import subprocess
from pathlib import Path

import pytest

from releasekit.errors import AmbiguousRelease, InvalidRelease, UnknownRelease
from releasekit.naming import release_named, require_immutable, rollback_target, tag_of, who

A, B, C = ("1a" * 20 + "~aaaaaaaa", "2b" * 20 + "~bbbbbbbb", "3c" * 20 + "~cccccccc")
A_CHANGED = "1a" * 20 + "~eeeeeeee"
"""The tag of A with another configuration."""
STORED = (A, A_CHANGED, B, C)


def stored() -> tuple[str, ...]:
    return STORED


# By a name


IDENTITY = ("-c", "user.name=Kim", "-c", "user.email=kim@example.org")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    commit = [*IDENTITY, "commit", "-q", "--allow-empty", "-m", "Fix the cart"]
    for argv in (["init", "-q"], commit):
        subprocess.run(["git", "-C", str(tmp_path), *argv], check=True)
    return tmp_path


def head(repository: Path) -> str:
    argv = ["git", "-C", str(repository), "rev-parse", "HEAD"]
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout.strip()


def test_a_commit_is_found_by_a_prefix_and_comes_with_its_subject(repository: Path) -> None:
    sha = head(repository)
    release = release_named(sha[:8], repository, stored)
    assert (release.tag, release.subject, release.author) == (sha, "Fix the cart", "Kim")


def test_a_release_that_git_no_longer_knows_is_found_among_the_stored(repository: Path) -> None:
    assert release_named(B[:8], repository, stored).tag == tag_of(B)


def test_one_tag_with_two_configurations_is_one_release(tmp_path: Path) -> None:
    assert release_named(A[:8], tmp_path, stored).tag == tag_of(A)


def test_without_git_a_full_sha_is_taken_at_its_word(tmp_path: Path) -> None:
    assert release_named("d" * 40, tmp_path, stored).tag == "d" * 40


def test_a_tag_that_is_no_sha_is_taken_at_its_word(tmp_path: Path) -> None:
    assert release_named("v2.4.0", tmp_path, stored).tag == "v2.4.0"


def test_a_prefix_of_nothing_is_unknown_and_says_where_it_looked(tmp_path: Path) -> None:
    with pytest.raises(UnknownRelease, match=f"fff: {tmp_path} is no git repository"):
        release_named("fff", tmp_path, stored)


def test_a_prefix_of_several_stored_ones_is_ambiguous(tmp_path: Path) -> None:
    near = ("1a0" + "0" * 37 + "~a", "1a1" + "0" * 37 + "~b")
    with pytest.raises(AmbiguousRelease, match="1a could be any of 1a00000, 1a10000"):
        release_named("1a", tmp_path, lambda: near)


def test_in_a_repository_a_slip_is_no_tag(repository: Path) -> None:
    subprocess.run(["git", "-C", str(repository), "branch", "-m", "trunk"], check=True)
    with pytest.raises(UnknownRelease, match=r"(?s)no commit, branch or tag 'trnk'.*trunk"):
        release_named("trnk", repository, stored)


def test_in_a_repository_stored_tags_and_versions_are_tags(repository: Path) -> None:
    assert release_named("spring", repository, lambda: ("spring~a", "spring-2~b")).tag == "spring"
    assert release_named("v2.4.0", repository, stored).tag == "v2.4.0"
    assert release_named("d" * 40, repository, stored).tag == "d" * 40


def test_what_is_no_tag_at_all_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidRelease):
        release_named("v1; rm -rf /", tmp_path, stored)


def test_a_tag_is_what_stands_before_the_digest() -> None:
    assert tag_of("v2.4.0~1a2b3c4d") == "v2.4.0"
    assert tag_of("v2.4.0") == "v2.4.0"


# To go back to


def test_a_rollback_goes_to_the_release_before() -> None:
    assert rollback_target(None, (A, B, C), STORED) == B


def test_the_first_release_has_none_before() -> None:
    with pytest.raises(UnknownRelease, match="1a1a1a1 is the first release"):
        rollback_target(None, (A,), STORED)


def test_before_the_first_release_there_is_nothing_to_go_back_to() -> None:
    with pytest.raises(UnknownRelease, match="nothing was released here yet"):
        rollback_target(None, (), STORED)


def test_a_rollback_goes_to_any_stored_release_by_its_prefix() -> None:
    assert rollback_target("1a1a", (A, B, C), (A, B, C)) == A
    assert rollback_target("3c3c", (A,), STORED) == C


def test_of_two_configurations_it_goes_to_the_one_that_ran_last() -> None:
    assert rollback_target("1a1a", (A_CHANGED, A, B), STORED) == A
    assert rollback_target("1a1a", (A, A_CHANGED, B), STORED) == A_CHANGED


def test_a_whole_id_names_one_configuration() -> None:
    assert rollback_target(A, (A, A_CHANGED, B), STORED) == A


def test_a_whole_tag_wins_over_what_it_begins() -> None:
    dirty = f"{tag_of(A)}-dirty-123456789abc~ffffffff"
    assert rollback_target(tag_of(A), (A, B), (A, B, dirty)) == A
    assert rollback_target("1a1a1a1", (A, B), (A, B, dirty)) == A
    assert rollback_target("1a1a1a1-dirty-123456789abc", (A, B), (A, B, dirty)) == dirty


def test_a_configuration_that_never_ran_comes_last() -> None:
    assert rollback_target("1a1a", (B,), STORED, {A}) == A
    assert rollback_target("1a1a", (B,), STORED) == A_CHANGED


def test_an_unknown_prefix_is_answered_with_near_ones() -> None:
    with pytest.raises(UnknownRelease, match="no stored release begins with '1a1b'") as raised:
        rollback_target("1a1b", (A, B, C), STORED)
    assert "stored: " in raised.value.hint


def test_a_prefix_of_several_releases_is_ambiguous() -> None:
    near = ("12" + "0" * 38 + "~a", "13" + "0" * 38 + "~b")
    with pytest.raises(AmbiguousRelease, match="1 could be any of 1200000, 1300000"):
        rollback_target("1", near, near)


# Immutable


@pytest.mark.parametrize("tag", ["latest", "Latest", "main", "production"])
def test_a_tag_that_means_something_else_tomorrow_is_refused(tag: str) -> None:
    with pytest.raises(InvalidRelease, match="something else tomorrow") as raised:
        require_immutable(tag, ())
    assert f'allow_tags = ["{tag}"]' in raised.value.hint
    require_immutable(tag, (tag,))


def test_a_sha_is_immutable() -> None:
    require_immutable("1a" * 20, ())


# Who asks


@pytest.mark.parametrize(
    ("environ", "by", "origin"),
    [
        ({"USER": "kim"}, "kim", "vm"),
        ({"USER": "root", "SUDO_USER": "kim"}, "kim", "vm"),
        ({"USER": "kim", "SSH_CONNECTION": "10.0.0.7 5022 10.0.0.1 22"}, "kim", "10.0.0.7"),
        ({"USER": "ci", "CI_JOB_URL": "https://git.example/7"}, "ci", "https://git.example/7"),
        ({"USER": "ci", "BUILD_URL": "https://jenkins/7"}, "ci", "https://jenkins/7"),
        (
            {
                "USER": "runner",
                "GITHUB_SERVER_URL": "https://github.com",
                "GITHUB_REPOSITORY": "team/shop",
                "GITHUB_RUN_ID": "7",
            },
            "runner",
            "https://github.com/team/shop/actions/runs/7",
        ),
        ({"USER": "kim", "GITHUB_RUN_ID": "7"}, "kim", "vm"),
    ],
)
def test_a_run_is_signed_by_a_person_and_a_place(
    environ: dict[str, str], by: str, origin: str
) -> None:
    assert who(environ, "vm") == {"by": by, "origin": origin}


def test_a_user_without_a_name_is_its_number(monkeypatch: pytest.MonkeyPatch) -> None:
    def nameless() -> str:
        raise KeyError("getpwuid(): uid not found: 4711")

    monkeypatch.setattr(getpass, "getuser", nameless)
    assert who({}, "vm")["by"] == str(os.getuid())
