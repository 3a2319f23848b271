"""Restores into real folders: the tree that was dumped, nothing outside it, and all of it or nothing."""

from __future__ import annotations

import gc
import io
import os
import stat
import subprocess
import tarfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from pgservers import given, taken
from trees import SPARSE, fill, picture

from drorch.domain.errors import Busy, Damaged, DrorchError, Refused, Unavailable, Usage
from drorch.domain.native import Inventory
from drorch.domain.recovery import count_differences
from drorch.engines.files import FilesEngine, Options
from drorch.ports import BearsMark, RestoreTarget

FACTS = {"engine": "files"}
MIB = 1 << 20


class Tree:
    """A filled folder, its dump, and an empty place to restore to."""

    def __init__(self, folder: Path) -> None:
        self.root, self.place, self.drills = folder / "srv" / "shop", folder / "place", folder / "drills"
        fill(self.root)
        self.place.mkdir()
        self.engine = FilesEngine(granted=[str(self.root)], scratch=self.drills)
        options = Options.model_validate({"paths": [str(self.root)]})
        with self.engine.dump(options, {}, "exact") as session:
            self.artefacts = taken(session)
            self.inventory = session.inventory()
            self.facts = dict(session.facts)

    def target(self, name: str = "back") -> RestoreTarget:
        return self.engine.target(f"dir:{self.place / name}", None, with_globals=False)

    def loaded(self, name: str = "back") -> RestoreTarget:
        target = self.target(name)
        target.prepare(self.facts)
        given(target, self.artefacts)
        return target


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path)


def archive(*members: tuple[tarfile.TarInfo, bytes], end: bool = True) -> bytes:
    found = io.BytesIO()
    with tarfile.open(fileobj=found, mode="w", format=tarfile.PAX_FORMAT) as writer:
        for member, body in members:
            member.size = len(body)
            writer.addfile(member, io.BytesIO(body))
    return found.getvalue() if end else found.getvalue().rstrip(b"\0")


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "", mode: int = 0o644) -> tarfile.TarInfo:
    found = tarfile.TarInfo(name)
    found.type, found.linkname, found.mode = kind, link, mode
    return found


def unpacked(place: Path, body: bytes) -> RestoreTarget:
    target = FilesEngine().target(f"dir:{place}/back", None, with_globals=False)
    target.prepare(FACTS)
    given(target, {"files.tar": body})
    return target


# --- the same tree -------------------------------------------------------------------------------------------------


def test_the_tree_comes_back_with_owners_modes_times_and_links(tree: Tree) -> None:
    before = picture(tree.root)
    target = tree.loaded()
    assert count_differences(tree.inventory, target.inventory(tree.inventory)) == ()
    target.complete()
    assert picture(tree.place / "back" / str(tree.root)[1:]) == before
    assert sorted(path.name for path in tree.place.iterdir()) == ["back"]


def test_holes_come_back_as_holes(tree: Tree) -> None:
    tree.loaded().complete()
    info = (tree.place / "back" / str(tree.root)[1:] / "sparse.img").stat()
    assert info.st_size == SPARSE + 4
    assert info.st_blocks * 512 < MIB


def test_a_file_of_zeros_alone_keeps_its_size(tmp_path: Path) -> None:
    unpacked(tmp_path, archive((member("a"), bytes(3 * MIB + 1)))).complete()
    assert (tmp_path / "back" / "a").read_bytes() == bytes(3 * MIB + 1)


def test_extended_attributes_come_back(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (root / "file").touch()
    value = b"a=b\n\0\xff"
    for place in (root, root / "file"):
        os.setxattr(place, "user.colour", value)
    engine = FilesEngine(granted=[str(root)])
    with engine.dump(Options.model_validate({"paths": [str(root)]}), {}, "exact") as session:
        artefacts = taken(session)
    (body,) = artefacts.values()
    unpacked(tmp_path, body).complete()
    back = tmp_path / "back" / str(root)[1:]
    assert [os.getxattr(place, "user.colour") for place in (back, back / "file")] == [value, value]


def test_an_archive_of_stock_tar_is_unpacked_as_well(tree: Tree) -> None:
    body = subprocess.run(
        ["tar", "--format=pax", "-C", "/", "-cf", "-", str(tree.root)[1:]], capture_output=True, check=True
    ).stdout
    unpacked(tree.place, body).complete()
    assert picture(tree.place / "back" / str(tree.root)[1:], exact=False) == picture(tree.root, exact=False)


def test_times_before_1970_come_back(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    os.utime(root, ns=(0, -1_500_000_001))
    engine = FilesEngine(granted=[str(root)])
    with engine.dump(Options.model_validate({"paths": [str(root)]}), {}, "exact") as session:
        (body,) = taken(session).values()
    unpacked(tmp_path, body).complete()
    assert (tmp_path / "back" / str(root)[1:]).stat().st_mtime_ns == -1_500_000_001


def test_a_person_who_restores_is_told_what_the_dump_does_not_hold(tree: Tree) -> None:
    tree.facts["counted"] = {"files": 9, "skipped": 1, "vanished": 0, "changed": 2}
    notes = tree.loaded().complete()
    assert any("1 file was not stored" in note for note in notes)
    assert any("2 files were changed" in note for note in notes)
    assert not any("gone" in note for note in notes)


def test_a_difference_in_files_or_bytes_is_found_on_disk(tree: Tree) -> None:
    target = tree.loaded()
    inside = next(tree.place.glob(".back*")) / str(tree.root)[1:]
    name = str(tree.root)
    (inside / "plain.txt").write_bytes(b"word")
    (difference,) = count_differences(tree.inventory, target.inventory(tree.inventory))
    total = sum(path.stat().st_size for path in {p.stat().st_ino: p for p in _files(tree.root)}.values())
    assert difference == f"{name} has {total - 2} of {total} bytes"
    (inside / "plain.txt").unlink()
    count = tree.inventory.tables[name]
    assert count is not None
    assert count_differences(tree.inventory, target.inventory(tree.inventory)) == (
        f"{name} has {count - 1} of {count} files",
    )
    missing = Inventory(tables={"/not/there": 3}, details={"unit": "files"})
    assert count_differences(missing, target.inventory(missing)) == ("/not/there is missing (3 files)",)
    target.abandon()


def _files(root: Path) -> Iterator[Path]:
    return (path for path in root.rglob("*") if path.is_file() and not path.is_symlink())


# --- the target ----------------------------------------------------------------------------------------------------


def test_nothing_is_to_be_seen_under_the_name_before_the_end(tree: Tree) -> None:
    target = tree.loaded()
    (passing,) = tree.place.iterdir()
    assert passing.name == ".back.drorch-restoring"
    assert stat.S_IMODE(passing.stat().st_mode) == 0o700
    target.complete()
    assert stat.S_IMODE((tree.place / "back").stat().st_mode) == 0o755


def test_an_empty_folder_is_replaced_and_keeps_its_owner_and_mode(tree: Tree) -> None:
    back = tree.place / "back"
    back.mkdir(mode=0o750)
    if os.geteuid() == 0:
        os.chown(back, 1234, 1234)
    before = back.stat()
    tree.loaded().complete()
    after = back.stat()
    assert (after.st_mode, after.st_uid, after.st_gid) == (before.st_mode, before.st_uid, before.st_gid)
    assert any(back.iterdir())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda place: place.write_text("x"), "no folder"),
        (lambda place: place.symlink_to("/tmp"), "no folder"),
        (lambda place: (place / "x").mkdir(parents=True), "not empty"),
        (lambda place: place.parent.rmdir(), "not there"),
    ],
)
def test_a_target_that_is_not_absent_or_empty_is_refused(
    tree: Tree, make: Callable[[Path], object], message: str
) -> None:
    make(tree.place / "back")
    with pytest.raises(Refused, match=message):
        tree.target().prepare(tree.facts)


def test_a_mount_point_is_refused_before_anything_is_loaded() -> None:
    with pytest.raises(Refused, match=r"not empty|mount point"):
        FilesEngine().target("dir:/proc", None, with_globals=False).prepare(FACTS)


def test_a_target_that_appears_meanwhile_is_not_overwritten(tree: Tree) -> None:
    target = tree.loaded()
    (tree.place / "back").mkdir()
    (tree.place / "back" / "mine").touch()
    with pytest.raises(Refused, match="appeared meanwhile"):
        target.complete()
    target.abandon()
    assert [str(path.relative_to(tree.place)) for path in tree.place.rglob("*")] == ["back", "back/mine"]


def test_a_second_restore_into_the_same_folder_waits_and_the_remains_of_a_dead_one_are_removed(tree: Tree) -> None:
    first = tree.loaded()
    with pytest.raises(Busy, match="under way"):
        tree.target().prepare(tree.facts)
    first.abandon()
    remains = tree.place / ".back.drorch-restoring"
    (remains / "old").mkdir(parents=True)
    target = tree.loaded()
    assert not (remains / "old").exists()
    target.complete()


def test_remains_that_are_a_link_are_left_alone(tree: Tree) -> None:
    outside = tree.place / "outside"
    (outside / "mine").mkdir(parents=True)
    (tree.place / ".back.drorch-restoring").symlink_to(outside)
    with pytest.raises(DrorchError):
        tree.target().prepare(tree.facts)
    assert (outside / "mine").is_dir()


@pytest.mark.parametrize(
    "url", ["dir:", "dir:/", "dir:relative", "dir://host/path", "dir:/srv/../etc", "dir:/a\0b", "file:///srv", "/srv"]
)
def test_what_is_no_absolute_path_is_a_usage_error(url: str) -> None:
    with pytest.raises(Usage, match="dir:/PATH"):
        FilesEngine().target(url, None, with_globals=False)


# --- hostile and broken archives -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "members",
    [
        [(member("../out"), b"x")],
        [(member("/tmp/drorch-out"), b"x")],
        [(member("a/../../out"), b"x")],
        [(member("a//b"), b"x")],
        [(member("link", tarfile.SYMTYPE, "PLACE/outside"), b""), (member("link/out"), b"x")],
        [(member("link", tarfile.SYMTYPE, ".."), b""), (member("link", tarfile.DIRTYPE), b"")],
        [(member("link", tarfile.SYMTYPE, "PLACE/outside/out"), b""), (member("link"), b"x")],
        [(member("hard", tarfile.LNKTYPE, "../outside/mine"), b"")],
        [
            (member("link", tarfile.SYMTYPE, "PLACE/outside"), b""),
            (member("hard", tarfile.LNKTYPE, "link/mine"), b""),
        ],
        [(member("hard", tarfile.LNKTYPE, "nowhere"), b"")],
        [(member("a"), b"x"), (member("a"), b"y")],
        [(member("a"), b"x"), (member("a/b"), b"y")],
        [(member("fifo", tarfile.FIFOTYPE), b"")],
        [(member("device", tarfile.CHRTYPE), b"")],
    ],
)
def test_nothing_that_an_archive_says_leads_out_of_the_target(
    tmp_path: Path, members: list[tuple[tarfile.TarInfo, bytes]]
) -> None:
    outside, place = tmp_path / "outside", tmp_path / "place"
    outside.mkdir()
    place.mkdir()
    (outside / "mine").write_bytes(b"mine")
    for info, _ in members:
        info.linkname = info.linkname.replace("PLACE", str(tmp_path))
    target = FilesEngine().target(f"dir:{place}/back", None, with_globals=False)
    target.prepare(FACTS)
    with pytest.raises(Damaged):
        given(target, {"files.tar": archive(*members)})
    target.abandon()
    assert list(place.iterdir()) == []
    assert [path.name for path in tmp_path.iterdir()] in (["outside", "place"], ["place", "outside"])
    assert [(path.name, path.read_bytes()) for path in outside.iterdir()] == [("mine", b"mine")]
    assert (outside / "mine").stat().st_nlink == 1


def test_the_mode_of_a_link_that_leads_outside_changes_nothing_there(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir(mode=0o700)
    body = archive((member("link", tarfile.SYMTYPE, str(outside), mode=0o777), b""))
    unpacked(tmp_path, body).complete()
    assert stat.S_IMODE(outside.stat().st_mode) == 0o700


WHOLE = archive((member("a"), b"x" * 5000), (member("b"), b"y" * 5000))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"no archive at all" * 100,
        WHOLE[:512],
        WHOLE[:3000],
        WHOLE[: 512 + 5120],
        WHOLE[: 512 + 5120 + 100],
        WHOLE[: 512 + 5120] + b"\xff" * 512 + WHOLE[512 + 5120 + 512 :],
        WHOLE.rstrip(b"\0") + bytes(512 - len(WHOLE.rstrip(b"\0")) % 512),
    ],
)
def test_an_archive_that_is_not_whole_is_damaged(tmp_path: Path, body: bytes) -> None:
    target = FilesEngine().target(f"dir:{tmp_path}/back", None, with_globals=False)
    target.prepare(FACTS)
    with pytest.raises(Damaged):
        given(target, {"files.tar": body})
    target.abandon()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("when", ["nan", "soon", "1e400", "-1e30", "99999999999999999999"])
def test_a_time_that_is_none_is_damage(tmp_path: Path, when: str) -> None:
    info = member("a")
    info.pax_headers = {"mtime": when}
    target = FilesEngine().target(f"dir:{tmp_path}/back", None, with_globals=False)
    target.prepare(FACTS)
    with pytest.raises(Damaged):
        given(target, {"files.tar": archive((info, b"x"))})
    target.abandon()
    assert list(tmp_path.iterdir()) == []


# --- ends that are not good ----------------------------------------------------------------------------------------


def test_a_kill_ends_a_load_that_waits_for_more_and_one_that_is_written_to(tree: Tree) -> None:
    target = tree.target()
    target.prepare(tree.facts)
    waiting = target.load("files.tar")
    waiting.stdin.write(tree.artefacts["files.tar"][:1000])
    waiting.kill()
    with pytest.raises(Refused, match="ended"):
        waiting.finish()
    writing = target.load("files.tar")
    killer = threading.Timer(0.2, writing.kill)
    killer.start()
    with pytest.raises(OSError, match="Broken pipe"):
        while True:
            writing.stdin.write(b"\xff" * MIB)
    killer.join()
    with pytest.raises(DrorchError):
        writing.finish()
    target.abandon()
    assert list(tree.place.iterdir()) == []


def test_a_full_disk_is_an_outage_and_leaves_nothing(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_arguments: object) -> int:
        raise OSError(28, "No space left on device")

    target = tree.target()
    target.prepare(tree.facts)
    with monkeypatch.context() as patched:
        patched.setattr(os, "write", full)
        with pytest.raises(Unavailable, match="takes no more"):
            given(target, tree.artefacts)
    target.abandon()
    assert list(tree.place.iterdir()) == []


def test_no_descriptor_is_left_open(tree: Tree) -> None:
    gc.collect()  # what other tests left open is closed now, and not in between
    before = len(list(Path("/proc/self/fd").iterdir()))
    tree.loaded().complete()
    tree.loaded("again").abandon()
    assert len(list(Path("/proc/self/fd").iterdir())) == before


# --- drills --------------------------------------------------------------------------------------------------------


@contextmanager
def drilled(tree: Tree) -> Iterator[RestoreTarget]:
    with tree.engine.scratch(None, {}) as target:
        target.prepare(tree.facts)
        given(target, tree.artefacts)
        yield target


def test_a_drill_unpacks_below_its_own_folder_for_its_owner_alone_and_leaves_nothing(tree: Tree) -> None:
    with drilled(tree) as target:
        assert count_differences(tree.inventory, target.inventory(tree.inventory)) == ()
        (folder,) = tree.drills.iterdir()
        folders = [path for path in folder.rglob("*") if path.is_dir() and not path.is_symlink()]
        assert {stat.S_IMODE(path.stat().st_mode) for path in folders} == {0o700}
    assert list(tree.drills.iterdir()) == []


def test_what_a_killed_drill_left_goes_with_the_next_one_but_not_what_another_uses(tree: Tree) -> None:
    tree.drills.mkdir()
    (tree.drills / "files-dead" / "restored").mkdir(parents=True)
    (tree.drills / "something").mkdir()
    with drilled(tree) as first:
        with drilled(tree) as second:
            assert len(list(tree.drills.glob("files-*"))) == 2
            assert second.inventory(tree.inventory).tables == tree.inventory.tables
        assert first.inventory(tree.inventory).tables == tree.inventory.tables
    assert [path.name for path in tree.drills.iterdir()] == ["something"]


def test_files_have_no_scratch_server(tree: Tree) -> None:
    with pytest.raises(Refused, match="private"):
        tree.engine.scratch(Options.model_validate({"paths": ["/srv"]}), {})


def test_a_folder_says_which_point_it_holds_for_as_long_as_it_holds_anything(tree: Tree) -> None:
    first = tree.target("marked")
    assert isinstance(first, BearsMark)
    assert first.left() == ""
    first.leave("shop/uploads/p1")
    first.prepare(tree.facts)
    given(first, tree.artefacts)
    assert not [note for note in first.complete() if "could not be noted" in note]
    again = tree.target("marked")
    assert isinstance(again, BearsMark)
    assert again.left() == "shop/uploads/p1"
    subprocess.run(["find", str(tree.place / "marked"), "-mindepth", "1", "-delete"], check=True)
    assert again.left() == ""


def test_a_folder_that_was_restored_by_hand_says_nothing(tree: Tree) -> None:
    tree.loaded("plain").complete()
    plain = tree.target("plain")
    assert isinstance(plain, BearsMark)
    assert plain.left() == ""
