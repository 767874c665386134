"""Git repositories: read from their files, fetched from folders and servers, resumable after any end."""

from __future__ import annotations

from pathlib import Path

import pytest

from sdlauncher.errors import SdLauncherError
from sdlauncher.machine.command import Completed, run
from sdlauncher.machine.git import (
    check_out,
    clear_leftovers,
    fetch_commit,
    has_commit,
    list_changes,
    quiet_environment,
    read_head,
)
from tests.setup.repositories import commit, git


def follow(argv: object) -> Completed:
    return run(argv, timeout=60, env=quiet_environment())  # type: ignore[arg-type]


@pytest.fixture
def origin(tmp_path: Path) -> Path:
    commit(tmp_path / "origin", {"a.txt": "1", "assets/big.gif": "x" * 5000}, tag="v1")
    commit(tmp_path / "origin", {"a.txt": "2"})
    git(tmp_path / "origin", "config", "uploadpack.allowFilter", "true")
    return tmp_path / "origin"


def test_the_head_is_read_without_git(origin: Path) -> None:
    head = read_head(origin)
    assert head is not None
    assert (head.commit, head.branch) == (git(origin, "rev-parse", "HEAD"), "master")
    git(origin, "pack-refs", "--all")
    assert read_head(origin) == head
    git(origin, "checkout", "-q", "--detach")
    detached = read_head(origin)
    assert detached is not None
    assert detached.branch is None
    git(origin, "worktree", "add", "-q", str(origin.parent / "tree"), "-b", "side")
    side = read_head(origin.parent / "tree")
    assert side is not None
    assert (side.commit, side.branch) == (head.commit, "side")


def test_there_is_no_head_where_nothing_is_checked_out(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    assert read_head(tmp_path) is None
    assert read_head(tmp_path / "nowhere") is None


def test_a_local_copy_that_borrows_its_objects_is_brought_whole(origin: Path, tmp_path: Path) -> None:
    pin = git(origin, "rev-parse", "v1")
    git(tmp_path, "clone", "-q", "--bare", "--shared", str(origin), "borrower")
    git(tmp_path, "clone", "-q", "--bare", "--shared", "borrower", "second")
    target = tmp_path / "target"
    fetch_commit(target, str(tmp_path / "second"), pin, follow=follow)
    check_out(target, pin, follow=follow)
    assert (target / "a.txt").read_text() == "1"


@pytest.mark.parametrize("how", ["folder", "server"])
def test_a_pinned_commit_is_brought_without_what_is_skipped(origin: Path, tmp_path: Path, how: str) -> None:
    pin = git(origin, "rev-parse", "v1")
    source = str(origin) if how == "folder" else origin.as_uri()
    target = tmp_path / "target ü"
    for _ in range(2):  # a second time changes nothing
        fetch_commit(target, source, pin, follow=follow, tag="v1")
        check_out(target, pin, follow=follow, branch="main", skip=["/assets/"])
    assert (target / "a.txt").read_text() == "1"
    assert not (target / "assets").exists()
    assert git(target, "describe", "--tags") == "v1"
    assert git(target, "status", "--porcelain") == ""
    head = read_head(target)
    assert head is not None
    assert (head.commit, head.branch) == (pin, "main")


def test_a_partial_copy_without_large_files_still_serves(origin: Path, tmp_path: Path) -> None:
    pin = git(origin, "rev-parse", "v1")
    big = git(origin, "rev-parse", "v1:assets/big.gif")
    (origin / ".git" / "objects" / big[:2] / big[2:]).unlink()
    fetch_commit(tmp_path / "t", str(origin), pin, follow=follow)
    check_out(tmp_path / "t", pin, follow=follow, skip=["/assets/"])
    assert (tmp_path / "t" / "a.txt").read_text() == "1"


def test_what_a_killed_git_left_does_not_stand_in_the_way(origin: Path, tmp_path: Path) -> None:
    pin = git(origin, "rev-parse", "v1")
    target = tmp_path / "t"
    fetch_commit(target, str(origin), pin, follow=follow)
    (target / ".git" / "index.lock").touch()
    (target / ".git" / "refs" / "heads" / "main.lock").touch()
    with pytest.raises(SdLauncherError) as caught:
        check_out(target, pin, follow=follow, branch="main")
    assert "lock" in str(caught.value)
    clear_leftovers(target)
    check_out(target, pin, follow=follow, branch="main")
    assert has_commit(target, pin)


def test_a_commit_that_is_not_there_is_named(origin: Path, tmp_path: Path) -> None:
    for source in (str(origin), origin.as_uri()):
        with pytest.raises(SdLauncherError) as caught:
            fetch_commit(tmp_path / "t", source, "0" * 40, follow=follow)
        assert caught.value.code == "SDL-GIT-FAILED"


def test_changes_by_hand_are_listed_with_their_names(origin: Path) -> None:
    (origin / "a.txt").write_text("mine")
    (origin / "assets" / "big.gif").unlink()
    (origin / "new file ü.txt").write_text("untracked")
    assert list_changes(origin) == ("a.txt", "assets/big.gif")


def test_a_repository_that_is_gone_does_not_ask_for_a_password() -> None:
    assert quiet_environment()["GIT_TERMINAL_PROMPT"] == "0"
    assert "GIT_DIR" not in quiet_environment()
