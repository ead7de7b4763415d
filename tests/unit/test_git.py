"""git: real repositories, and every way in which a ref or a tree can be none."""

from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest

from releasekit import git
from releasekit.errors import AmbiguousRelease, DeadlineExceeded, DirtyTree, UnknownRelease

HINT = "if it is only on the remote: git fetch --tags (a shallow clone: with --unshallow)"
Git = Callable[..., str]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    for who in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{who}_NAME", "Ann Öz")
        monkeypatch.setenv(f"GIT_{who}_EMAIL", "ann@example.com")
        monkeypatch.setenv(f"GIT_{who}_DATE", "2026-01-02T03:04:05Z")
    path = tmp_path / "a shop"
    path.mkdir()
    return path


@pytest.fixture
def run(folder: Path) -> Git:
    def run(*args: str, stdin: str = "") -> str:
        argv = ["git", "-C", str(folder), *args]
        done = subprocess.run(argv, input=stdin, check=True, capture_output=True, text=True)
        return done.stdout.strip()

    return run


@pytest.fixture
def repo(folder: Path, run: Git) -> Path:
    """One commit on `main`: `app.py`, and `ignored.txt` ignored."""
    run("init", "--quiet", "--initial-branch=main")
    (folder / "app.py").write_text("print('shop')\n")
    (folder / ".gitignore").write_text("ignored*\n")
    run("add", "--all")
    run("commit", "--quiet", "--message", "Open the shop\n\nAt last.")
    return folder


def head(run: Git) -> str:
    return run("rev-parse", "HEAD")


# --- commits --------------------------------------------------------------------------------------


@pytest.mark.parametrize("ref", ["HEAD", "main", "v1", "light", "origin/main", "main^{}"])
def test_a_ref_is_resolved_as_git_resolves_it(repo: Path, run: Git, ref: str) -> None:
    run("tag", "--annotate", "v1", "--message", "One")
    run("tag", "light")
    run("update-ref", "refs/remotes/origin/main", "HEAD")

    assert git.commit(repo, ref) == git.Commit(head(run), "Open the shop", "Ann Öz")


@pytest.mark.parametrize("digits", [4, 7, 40])
def test_the_beginning_of_a_sha_is_enough(repo: Path, run: Git, digits: int) -> None:
    sha = head(run)

    assert git.commit(repo, sha[:digits]).sha == sha
    assert git.commit(repo, sha[:digits].upper()).sha == sha


def test_a_folder_in_the_repository_will_do(repo: Path, run: Git) -> None:
    (repo / "deploy").mkdir()

    assert git.commit(repo / "deploy", "HEAD").sha == head(run)


def test_a_subject_is_what_people_wrote_without_control_characters(repo: Path, run: Git) -> None:
    run("commit", "--quiet", "--allow-empty", "--message", "장바구니\x1b[31m 고침\x07")

    assert git.commit(repo, "HEAD").subject == "장바구니 고침"


def test_the_user_s_own_git_settings_change_nothing(repo: Path, run: Git) -> None:
    for key, value in {
        "log.showSignature": "true",
        "format.pretty": "fuller",
        "color.ui": "always",
        "status.showUntrackedFiles": "no",
        "status.relativePaths": "true",
        "i18n.logOutputEncoding": "latin1",
    }.items():
        run("config", key, value)
    (repo / "new.txt").touch()

    assert git.commit(repo, "HEAD") == git.Commit(head(run), "Open the shop", "Ann Öz")
    with pytest.raises(DirtyTree, match=r"new\.txt"):
        git.working_tree_tag(repo, head(run), allow_dirty=False)


def test_a_hook_s_variables_do_not_lead_to_another_repository(
    repo: Path, run: Git, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sha = head(run)
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY"):
        monkeypatch.setenv(name, str(tmp_path / "elsewhere"))

    assert git.commit(repo, "HEAD").sha == sha
    assert git.working_tree_tag(repo, sha, allow_dirty=False) == sha


@pytest.mark.parametrize("ref", ["", "--help", "-n", "--output=/tmp/x", "a\nb", "a\0b", "\x1b[31m"])
def test_what_could_be_an_option_or_is_no_text_never_gets_to_git(repo: Path, ref: str) -> None:
    with pytest.raises(UnknownRelease) as caught:
        git.commit(repo, ref)

    assert caught.value.message == f"{ref!r} is no commit, branch or tag"


@pytest.mark.parametrize(
    "ref",
    ["v9", "HEAD:app.py", "HEAD..v1", "^HEAD", "v1..", "a" * 300, "$(id)", "../..", "abc", "@{u}"],
)
def test_a_ref_that_is_no_commit_is_unknown(repo: Path, run: Git, ref: str) -> None:
    with pytest.raises(UnknownRelease) as caught:
        git.commit(repo, ref)

    assert caught.value.message == f"no commit, branch or tag {ref!r} in {repo}"
    assert caught.value.hint == HINT


def test_an_unknown_name_comes_with_the_names_near_it(repo: Path, run: Git) -> None:
    run("branch", "fix/basket")
    run("commit", "--quiet", "--allow-empty", "--message", "Sell more")
    run("tag", "fix/baskets")

    with pytest.raises(UnknownRelease) as caught:
        git.commit(repo, "fix/baskte")

    assert caught.value.message == (
        f"no commit, branch or tag 'fix/baskte' in {repo}; near it:\n"
        f"  fix/basket  {run('rev-parse', '--short', 'HEAD~1')} Open the shop\n"
        f"  fix/baskets  {run('rev-parse', '--short', 'HEAD')} Sell more"
    )


def test_an_unknown_sha_comes_with_the_commits_that_begin_like_it(repo: Path, run: Git) -> None:
    sha = head(run)
    wrong = sha[:10] + ("0" if sha[10] != "0" else "1") * 30

    with pytest.raises(UnknownRelease) as caught:
        git.commit(repo, wrong)

    assert caught.value.message == (
        f"no commit, branch or tag {wrong!r} in {repo}; near it:\n"
        f"  {run('rev-parse', '--short', 'HEAD')} Open the shop"
    )


def test_at_most_five_near_ones_are_named(repo: Path, run: Git) -> None:
    for number in range(8):
        run("branch", f"release-{number}")

    with pytest.raises(UnknownRelease) as caught:
        git.commit(repo, "release-9")

    assert caught.value.message.count("Open the shop") == 5


def alike(run: Git) -> tuple[str, str]:
    """Two commits whose shas share their first four digits."""
    tree, seen = run("rev-parse", "HEAD^{tree}"), dict[str, str]()
    for number in count():
        who = "Ann <ann@example.com> 1767323045 +0000"
        text = f"tree {tree}\nauthor {who}\ncommitter {who}\n\nNumber {number}\n"
        raw = f"commit {len(text)}\0{text}".encode()
        start = hashlib.sha1(raw, usedforsecurity=False).hexdigest()[:4]
        if start in seen:
            objects = [
                run("hash-object", "-t", "commit", "-w", "--stdin", stdin=t)
                for t in (seen[start], text)
            ]
            one, two = sorted(objects)
            return one, two
        seen[start] = text
    raise AssertionError


def test_an_ambiguous_beginning_lists_the_candidates(repo: Path, run: Git) -> None:
    one, two = alike(run)
    subjects = {sha: run("log", "-1", "--format=%h %s", sha) for sha in (one, two)}

    with pytest.raises(AmbiguousRelease) as caught:
        git.commit(repo, one[:4])

    assert caught.value.message == (
        f"{one[:4]!r} begins 2 commits:\n  {subjects[one]}\n  {subjects[two]}"
    )
    assert caught.value.hint == "give more digits"
    assert git.commit(repo, two[:12]).sha == two


def test_a_file_that_begins_alike_does_not_make_a_commit_ambiguous(repo: Path, run: Git) -> None:
    sha = head(run)
    for number in count():
        text = f"{number}"
        raw = f"blob {len(text)}\0{text}".encode()
        if hashlib.sha1(raw, usedforsecurity=False).hexdigest().startswith(sha[:4]):
            run("hash-object", "-w", "--stdin", stdin=text)
            break

    assert git.commit(repo, sha[:4]).sha == sha


def test_the_sha_of_something_else_is_no_commit_and_not_near_one(repo: Path, run: Git) -> None:
    blob = run("rev-parse", "HEAD:app.py")

    with pytest.raises(UnknownRelease) as caught:
        git.commit(repo, blob)

    assert caught.value.message == f"no commit, branch or tag {blob!r} in {repo}"


# --- no repository, no git ------------------------------------------------------------------------


def test_a_folder_that_is_no_repository_says_so(folder: Path) -> None:
    with pytest.raises(UnknownRelease) as caught:
        git.commit(folder, "HEAD")

    assert caught.value.message == (
        f"git cannot read {folder}: "
        "fatal: not a git repository (or any of the parent directories): .git"
    )
    assert not git.is_repository(folder)


def test_a_folder_that_does_not_exist_says_so(folder: Path) -> None:
    with pytest.raises(UnknownRelease, match="No such file or directory"):
        git.commit(folder / "nowhere", "HEAD")

    assert not git.is_repository(folder / "nowhere")


def test_a_repository_without_a_commit_says_so(folder: Path, run: Git) -> None:
    run("init", "--quiet")

    with pytest.raises(UnknownRelease) as caught:
        git.commit(folder, "HEAD")

    assert caught.value.message == f"the git repository at {folder} has no commit yet"
    assert git.is_repository(folder)


def test_a_machine_without_git_says_so(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")

    with pytest.raises(UnknownRelease) as caught:
        git.commit(repo, "HEAD")

    assert caught.value.message == "git is not installed here, or not on the PATH"
    assert not git.is_repository(repo)


def test_a_git_that_hangs_is_given_up(
    repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = tmp_path / "git"
    slow.write_text("#!/bin/sh\nexec sleep 60\n")
    slow.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(git, "_DEADLINE_S", 0.2)

    with pytest.raises(DeadlineExceeded) as caught:
        git.commit(repo, "HEAD")

    assert caught.value.message == f"git rev-parse at {repo} took over 0.2 s"


# --- the working tree -----------------------------------------------------------------------------


def write(repo: Path) -> None:
    (repo / "app.py").write_text("print('sale')\n")


def write_and_stage(repo: Path) -> None:
    write(repo)
    subprocess.run(["git", "-C", str(repo), "add", "app.py"], check=True)


def remove(repo: Path) -> None:
    (repo / "app.py").unlink()


def add(repo: Path) -> None:
    (repo / "new.txt").write_text("new\n")


def make_executable(repo: Path) -> None:
    (repo / "app.py").chmod(0o755)


def rename(repo: Path) -> None:
    subprocess.run(["git", "-C", str(repo), "mv", "app.py", "shop.py"], check=True)


CHANGES = [write, write_and_stage, remove, add, make_executable, rename]


def test_the_tag_of_a_clean_tree_is_its_sha(repo: Path, run: Git) -> None:
    for allow_dirty in (False, True):
        assert git.working_tree_tag(repo, head(run), allow_dirty=allow_dirty) == head(run)


def test_ignored_files_and_new_times_are_no_changes(repo: Path, run: Git) -> None:
    (repo / "ignored.txt").touch()
    os.utime(repo / "app.py", (1, 1))

    assert git.working_tree_tag(repo, head(run), allow_dirty=False) == head(run)


@pytest.mark.parametrize("change", CHANGES)
def test_a_tree_with_any_change_is_dirty(
    repo: Path, run: Git, change: Callable[[Path], None]
) -> None:
    change(repo)

    with pytest.raises(DirtyTree):
        git.working_tree_tag(repo, head(run), allow_dirty=False)
    assert git.working_tree_tag(repo, head(run), allow_dirty=True) != head(run)


def test_a_dirty_tree_is_refused_with_its_files_and_the_two_ways_out(repo: Path, run: Git) -> None:
    write(repo)
    remove(repo)
    (repo / "새 파일").touch()

    with pytest.raises(DirtyTree) as caught:
        git.working_tree_tag(repo, head(run), allow_dirty=False)

    assert caught.value.message == (
        "the working tree has changes that no commit holds:\n  app.py\n  새 파일"
    )
    assert caught.value.hint == "commit them, or release them as they are with --dirty"


def test_a_renamed_file_is_named_as_it_was_and_as_it_is(repo: Path, run: Git) -> None:
    rename(repo)

    with pytest.raises(DirtyTree, match=r":\n  app\.py\n  shop\.py$"):
        git.working_tree_tag(repo, head(run), allow_dirty=False)


def test_of_many_changed_files_ten_are_named(repo: Path, run: Git) -> None:
    for number in range(13):
        (repo / f"{number:02}").touch()

    with pytest.raises(DirtyTree) as caught:
        git.working_tree_tag(repo, head(run), allow_dirty=False)

    assert caught.value.message.splitlines()[1:] == [
        *(f"  {number:02}" for number in range(10)),
        "  and 3 more",
    ]


def test_a_file_s_name_cannot_write_to_the_terminal(repo: Path, run: Git) -> None:
    (repo / "a\x1b[31mb").touch()

    with pytest.raises(DirtyTree, match=r"  ab$"):
        git.working_tree_tag(repo, head(run), allow_dirty=False)


def test_a_change_elsewhere_in_the_repository_counts(repo: Path, run: Git) -> None:
    (repo / "shop").mkdir()
    write(repo)

    with pytest.raises(DirtyTree, match=r"  app\.py"):
        git.working_tree_tag(repo / "shop", head(run), allow_dirty=False)
    tag = git.working_tree_tag(repo, head(run), allow_dirty=True)
    assert git.working_tree_tag(repo / "shop", head(run), allow_dirty=True) == tag


def test_the_tag_of_a_dirty_tree_holds_what_git_would_commit(repo: Path, run: Git) -> None:
    sha = head(run)
    write(repo)
    add(repo)

    tag = git.working_tree_tag(repo, sha, allow_dirty=True)

    run("add", "--all")
    assert tag == f"{sha}-dirty-{run('write-tree')[:12]}"


def test_the_same_content_has_the_same_tag_staged_or_not(repo: Path, run: Git) -> None:
    write(repo)
    add(repo)
    tag = git.working_tree_tag(repo, head(run), allow_dirty=True)
    os.utime(repo / "app.py", (1, 1))
    assert git.working_tree_tag(repo, head(run), allow_dirty=True) == tag
    run("add", "app.py")
    assert git.working_tree_tag(repo, head(run), allow_dirty=True) == tag
    run("add", "--intent-to-add", "new.txt")
    assert git.working_tree_tag(repo, head(run), allow_dirty=True) == tag
    run("rm", "--cached", "--quiet", "--force", "app.py")
    assert git.working_tree_tag(repo, head(run), allow_dirty=True) == tag
    (repo / ".git" / "index").unlink()
    assert git.working_tree_tag(repo, head(run), allow_dirty=True) == tag


def test_different_content_has_a_different_tag(
    repo: Path, run: Git, monkeypatch: pytest.MonkeyPatch
) -> None:
    tags = set()
    for change in CHANGES:
        run("reset", "--quiet", "--hard")
        run("clean", "--quiet", "--force")
        change(repo)
        tags.add(git.working_tree_tag(repo, head(run), allow_dirty=True))

    assert len(tags) == len(CHANGES) - 1  # staged or not is the same


def test_content_written_in_the_moment_of_the_last_git_add_is_not_missed(
    repo: Path, run: Git
) -> None:
    """git tells by the index's own time which files may have changed unseen: a copy keeps it."""
    app, index = repo / "app.py", repo / ".git" / "index"
    run("config", "core.trustctime", "false")
    moment = (1_700_000_000, 1_700_000_000)
    tags = set()
    for text in ("aaaa", "bbbb"):
        app.write_text("0000")
        os.utime(app, moment)
        run("add", "app.py")
        app.write_text(text)
        os.utime(app, moment)
        os.utime(index, moment)
        tags.add(git.working_tree_tag(repo, head(run), allow_dirty=True))

    assert len(tags) == 2


def files(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_a_dirty_tag_leaves_the_repository_and_its_index_as_they_were(repo: Path, run: Git) -> None:
    write_and_stage(repo)
    add(repo)
    index = repo / ".git" / "index"
    before, written = files(repo), index.stat().st_mtime_ns

    git.working_tree_tag(repo, head(run), allow_dirty=True)

    assert files(repo) == before
    assert index.stat().st_mtime_ns == written


def test_a_file_that_is_tracked_although_ignored_counts(repo: Path, run: Git) -> None:
    (repo / "ignored.txt").write_text("1")
    run("add", "--force", "ignored.txt")
    one = git.working_tree_tag(repo, head(run), allow_dirty=True)
    (repo / "ignored.txt").write_text("2")

    assert git.working_tree_tag(repo, head(run), allow_dirty=True) != one


def test_a_linked_worktree_has_its_own_index(repo: Path, run: Git, tmp_path: Path) -> None:
    other = tmp_path / "other"
    run("worktree", "add", "--quiet", str(other))
    write(repo)
    add(other)

    assert git.working_tree_tag(repo, head(run), allow_dirty=True) != git.working_tree_tag(
        other, head(run), allow_dirty=True
    )
    with pytest.raises(DirtyTree, match=r":\n  new\.txt$"):
        git.working_tree_tag(other, head(run), allow_dirty=False)


def test_what_git_cannot_add_is_told_with_git_s_reason(repo: Path, run: Git) -> None:
    run("init", "--quiet", "nested")

    with pytest.raises(UnknownRelease, match="'nested/' does not have a commit checked out"):
        git.working_tree_tag(repo, head(run), allow_dirty=True)


def test_a_bare_repository_has_no_tree_to_release(repo: Path, run: Git, tmp_path: Path) -> None:
    bare = tmp_path / "bare.git"
    run("clone", "--quiet", "--bare", str(repo), str(bare))

    assert git.commit(bare, "HEAD").sha == head(run)
    with pytest.raises(UnknownRelease, match="must be run in a work tree"):
        git.working_tree_tag(bare, head(run), allow_dirty=True)
