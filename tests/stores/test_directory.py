"""A folder on its bad days: full, read-only, unmounted, without hard links, full of links that lead elsewhere."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from drorch.domain.errors import (
    AlreadyExists,
    Damaged,
    NotFound,
    NotInThisVersion,
    OutcomeUnknown,
    Refused,
    Unavailable,
)
from drorch.ports import PendingUpload
from drorch.stores.directory import DirectoryStore, Options, from_url, open_store

PART = 8 * 1024 * 1024


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "vault"
    folder.mkdir()
    return folder


@pytest.fixture
def store(root: Path) -> DirectoryStore:
    return DirectoryStore("nas", str(root))


def read(store: DirectoryStore, path: str) -> bytes:
    return b"".join(store.read(path))


def files(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


def failing(code: int) -> Callable[..., Any]:
    def fail(*_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code))

    return fail


# --- what lies on the disk -----------------------------------------------------------------------------------------


def test_objects_are_plain_files_that_only_their_owner_reads(store: DirectoryStore, root: Path) -> None:
    store.put("drorch/v1/vault.json", b"{}")
    assert (root / "drorch/v1/vault.json").read_bytes() == b"{}"
    assert stat.S_IMODE((root / "drorch/v1/vault.json").stat().st_mode) == 0o600
    assert {stat.S_IMODE((root / name).stat().st_mode) for name in ("drorch", "drorch/v1", ".incoming")} == {0o700}


def test_nothing_stays_in_incoming(store: DirectoryStore, root: Path) -> None:
    store.put("a", b"x")
    with pytest.raises(AlreadyExists):
        store.put("a", b"y")
    store.put("a", b"z", overwrite=True)
    upload = store.upload("b")
    upload.write(b"x")
    assert len(list((root / ".incoming").iterdir())) == 1
    upload.commit()
    given_up = store.upload("c")
    given_up.write(b"x")
    given_up.abort()
    taken = store.upload("a")
    with pytest.raises(AlreadyExists):
        taken.commit()
    assert files(root) == ["a", "b"]


def test_leftovers_of_a_killed_process_are_not_listed(store: DirectoryStore, root: Path) -> None:
    store.upload("a").write(b"half")
    (root / ".snapshot").mkdir()
    (root / ".snapshot/old").write_bytes(b"x")
    (root / ".nfs0001").write_bytes(b"x")
    assert list(store.list("")) == []


def test_object_is_flushed_to_disk_before_its_name_and_its_folder_after(
    store: DirectoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    fsync, link = os.fsync, os.link

    def note_fsync(descriptor: int) -> None:
        done.append("folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file")
        fsync(descriptor)

    def note_link(*arguments: Any, **options: Any) -> None:
        done.append("link")
        link(*arguments, **options)

    store.put("warm/up", b"")
    monkeypatch.setattr(os, "fsync", note_fsync)
    monkeypatch.setattr(os, "link", note_link)
    store.put("warm/a", b"x")
    assert done == ["file", "link", "folder"]


# --- full, failing, read-only --------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
@pytest.mark.parametrize("call", ["write", "fsync"])
def test_full_disk_is_unavailable_with_a_hint_and_commits_nothing(
    store: DirectoryStore, root: Path, monkeypatch: pytest.MonkeyPatch, code: int, call: str
) -> None:
    store.put("warm", b"")
    upload = store.upload("a")
    monkeypatch.setattr(os, call, failing(code))
    with pytest.raises(Unavailable, match="full") as raised:
        upload.write(b"x")
        upload.commit()
    assert "room" in raised.value.hint
    with pytest.raises(Unavailable, match="full"):
        store.put("b", b"x")
    monkeypatch.undo()
    with pytest.raises(Refused):
        upload.commit()
    upload.abort()
    assert files(root) == ["warm"]


def test_file_size_limit_of_the_process_is_refused_and_commits_nothing(root: Path) -> None:
    """A real limit, in a process of its own: writes come back short, then EFBIG."""
    program = f"""
import resource
from drorch.domain.errors import Refused
from drorch.ports import PendingUpload
from drorch.stores.directory import DirectoryStore
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
store = DirectoryStore("nas", {str(root)!r})
upload = store.upload("a")
try:
    upload.write(b"x" * 200_000)
except Refused as error:
    print(error.cause)
upload.abort()
print(list(store.list("")))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout.splitlines() == ["File too large", "[]"]
    assert files(root) == []


def test_short_writes_are_completed(store: DirectoryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, body: write(descriptor, bytes(body[:1000])))
    body = bytes(range(256)) * 20
    store.put("a", body)
    assert read(store, "a") == body


def test_bytes_lost_by_the_file_system_are_damaged(
    store: DirectoryStore, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = os.write

    def forgetful(descriptor: int, body: Any) -> int:
        write(descriptor, bytes(body[:-1]))
        return len(body)

    monkeypatch.setattr(os, "write", forgetful)
    with pytest.raises(Damaged, match="2 bytes were kept of 3"):
        store.put("a", b"abc")
    assert files(root) == []


def test_failing_disk_is_unavailable(store: DirectoryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store.put("a", b"x")
    monkeypatch.setattr(os, "pread", failing(errno.EIO))
    with pytest.raises(Unavailable):
        read(store, "a")


@pytest.mark.parametrize("code", [errno.EACCES, errno.EPERM, errno.EROFS])
def test_forbidden_is_refused_with_a_hint(store: DirectoryStore, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    monkeypatch.setattr(os, "open", failing(code))
    attempts: list[Callable[[], object]] = [
        lambda: store.put("a", b"x"),
        lambda: read(store, "a"),
        lambda: list(store.list("")),
    ]
    for attempt in attempts:
        with pytest.raises(Refused) as raised:
            attempt()
        assert not isinstance(raised.value, NotFound)
        assert raised.value.hint


@pytest.mark.parametrize("code", [errno.EPERM, errno.ENOTSUP, errno.EMLINK])
def test_file_system_without_hard_links_is_refused_since_nothing_is_written_once_there(
    store: DirectoryStore, root: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    monkeypatch.setattr(os, "link", failing(code))
    with pytest.raises(Refused, match="hard links"):
        store.put("a", b"x")
    assert files(root) == []


def test_link_whose_reply_was_lost_on_nfs_is_no_conflict_with_itself(
    store: DirectoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = os.link

    def done_twice(*arguments: Any, **options: Any) -> None:
        link(*arguments, **options)
        link(*arguments, **options)

    monkeypatch.setattr(os, "link", done_twice)
    store.put("a", b"x")
    assert read(store, "a") == b"x"


def test_folder_that_cannot_be_flushed_after_the_link_leaves_the_outcome_unknown(
    store: DirectoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.put("warm", b"")
    fsync = os.fsync

    def fail_for_folders(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EIO, "I/O error")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", fail_for_folders)
    with pytest.raises(OutcomeUnknown):
        store.put("a", b"x")


def test_file_system_that_cannot_flush_folders_needs_none(
    store: DirectoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    fsync = os.fsync

    def unknown_for_folders(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "Invalid argument")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", unknown_for_folders)
    store.put("a", b"x")
    assert read(store, "a") == b"x"


def test_object_that_shrinks_while_it_is_read_is_unavailable(store: DirectoryStore, root: Path) -> None:
    store.put("a", b"x" * 3_000_000)
    chunks = store.read("a")
    next(chunks)
    os.truncate(root / "a", 10)
    with pytest.raises(Unavailable, match="shorter"):
        list(chunks)


# --- not mounted ---------------------------------------------------------------------------------------------------


def test_folder_that_is_not_mounted_is_unavailable_never_empty_and_never_created(
    store: DirectoryStore, root: Path
) -> None:
    store.put("a", b"x")
    root.rename(root.with_name("elsewhere"))
    attempts: list[Callable[[], object]] = [
        lambda: store.stat("a"),
        lambda: read(store, "a"),
        lambda: list(store.list("")),
        lambda: store.put("b", b"x"),
        lambda: store.delete("a"),
        lambda: open_store("nas", Options(path=str(root), provider="onprem", region="office")),
    ]
    for attempt in attempts:
        with pytest.raises(Unavailable, match="not there") as raised:
            attempt()
        assert "mount" in raised.value.hint
    assert not root.exists()


# --- symbolic links ------------------------------------------------------------------------------------------------


@pytest.fixture
def outside(tmp_path: Path, root: Path) -> Path:
    """A folder beside the vault, and links to it and its file inside the vault."""
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "secret").write_bytes(b"secret")
    (root / "folder").symlink_to(folder)
    (root / "object").symlink_to(folder / "secret")
    return folder


def test_links_are_neither_read_nor_listed(store: DirectoryStore, outside: Path) -> None:
    for path in ("object", "folder/secret"):
        with pytest.raises(Refused):
            read(store, path)
        with pytest.raises(Refused):
            store.stat(path)
    assert list(store.list("")) == []
    assert list(store.list("folder/")) == []


def test_links_are_not_written_through(store: DirectoryStore, outside: Path) -> None:
    with pytest.raises(Refused):
        store.put("folder/new", b"x")
    with pytest.raises(Refused):
        store.put("folder/secret", b"x", overwrite=True)
    with pytest.raises(AlreadyExists):
        store.put("object", b"x")
    store.put("object", b"x", overwrite=True)
    store.delete("folder/secret")
    assert files(outside) == ["secret"]
    assert (outside / "secret").read_bytes() == b"secret"
    assert read(store, "object") == b"x"


def test_link_in_place_of_incoming_is_not_followed(store: DirectoryStore, root: Path, outside: Path) -> None:
    (root / ".incoming").symlink_to(outside)
    with pytest.raises(Refused):
        store.put("a", b"x")
    assert files(outside) == ["secret"]


def test_root_itself_may_be_a_link(tmp_path: Path, root: Path) -> None:
    (tmp_path / "mount").symlink_to(root)
    store = DirectoryStore("nas", str(tmp_path / "mount"))
    store.put("a", b"x")
    assert (root / "a").read_bytes() == b"x"


# --- other things in the folder ------------------------------------------------------------------------------------


def test_folder_is_not_an_object(store: DirectoryStore) -> None:
    store.put("a/b", b"x")
    with pytest.raises(NotFound):
        store.stat("a")
    with pytest.raises(NotFound):
        store.stat("a/b/c")
    assert list(store.list("a/b/")) == []
    with pytest.raises(AlreadyExists):
        store.put("a", b"x")
    with pytest.raises(Refused):
        store.put("a/b/c", b"x")


def test_pipes_are_neither_listed_nor_waited_for(store: DirectoryStore, root: Path) -> None:
    os.mkfifo(root / "pipe")
    assert list(store.list("")) == []
    with pytest.raises(NotFound):
        read(store, "pipe")


def test_object_that_vanishes_during_a_listing_is_not_listed(store: DirectoryStore, root: Path) -> None:
    for number in range(3):
        store.put(f"a{number}", b"x")
    listing = store.list("")
    first = next(listing).path
    for path in root.glob("a*"):
        path.unlink()
    assert [found.path for found in listing] == []
    assert first.startswith("a")


def test_unreadable_folder_makes_the_listing_fail_not_short(
    store: DirectoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.put("good/a", b"x")
    store.put("bad/a", b"x")
    opened = os.open

    def deny(path: Any, *arguments: Any, **options: Any) -> int:
        if path == "bad":
            raise PermissionError(errno.EACCES, "Permission denied")
        return opened(path, *arguments, **options)

    monkeypatch.setattr(os, "open", deny)
    with pytest.raises(Refused):
        list(store.list(""))


def test_address_of_a_folder() -> None:
    assert from_url("file:///mnt/my%20dr").path == "/mnt/my dr"
    for url in ("file://host/mnt", "file:mnt", "s3://mnt", "file:///mnt?x=1"):
        with pytest.raises(Refused) as raised:
            from_url(url)
        assert raised.value.hint == "file:///path"


# --- what a folder has besides files -------------------------------------------------------------------------------


def test_the_present_is_the_file_systems_and_leaves_nothing(root: Path, store: DirectoryStore) -> None:
    store.put("a", b"x")
    assert abs(store.now() - store.stat("a").modified) < timedelta(minutes=1)
    assert store.now().tzinfo is not None
    assert list((root / ".incoming").iterdir()) == []


def test_a_file_has_one_version_and_no_lock(store: DirectoryStore) -> None:
    store.put("a", b"x")
    (found,) = store.history("")
    assert (found.path, found.size, found.version, found.marker) == ("a", 1, "", False)
    assert store.lock is None
    assert store.lock_of("a") is None
    for ask in (lambda: store.lock_of("b"), lambda: list(store.read("a", version="v1"))):
        with pytest.raises(NotFound):
            ask()
    with pytest.raises(NotInThisVersion):
        store.extend_lock("a", datetime(2031, 1, 1, tzinfo=UTC))


def test_what_a_killed_process_left_is_shown_by_its_path_and_dropped(root: Path, store: DirectoryStore) -> None:
    path = "drorch/v1/data/shop/orders/20261120T091500Z-abc/data.pgcustom.zst.age"
    store.upload(path).write(b"half")
    long = "n" * 200 + "/" + "m" * 200
    store.upload(long)
    (pending,) = store.uploads("drorch/v1/data/")
    assert pending.path == path
    assert abs(pending.begun - store.now()) < timedelta(minutes=1)
    assert len(list(store.uploads(".incoming/"))) == 1, "one whose name has no room for its path is shown by its own"
    for found in (*list(store.uploads("")), pending):
        store.abort_upload(found)
    assert list(store.uploads("")) == []
    assert list((root / ".incoming").iterdir()) == []


def test_no_file_outside_is_dropped_by_a_handle(root: Path, store: DirectoryStore) -> None:
    store.put("a", b"x")
    store.upload("b").abort()
    store.abort_upload(PendingUpload("a", datetime(2026, 1, 1, tzinfo=UTC), "../a"))
    assert (root / "a").read_bytes() == b"x"
