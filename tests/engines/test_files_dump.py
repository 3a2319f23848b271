"""Dumps of real folders: everything in them, nothing outside, and a whole archive whatever happens meanwhile."""

from __future__ import annotations

import io
import os
import stat
import subprocess
import tarfile
from datetime import UTC, datetime
from pathlib import Path

import pytest
from trees import LATIN, fill, odd, picture

from drorch.domain.errors import DrorchError, NotFound, Refused, Unavailable
from drorch.domain.native import Inventory
from drorch.engines.files import FilesEngine, Options
from drorch.engines.files.options import Exclusion
from drorch.ports import Producer

NOON = datetime(2026, 11, 20, 12, 0, 0, 999_999, tzinfo=UTC)
MIB = 1 << 20


def options(*paths: Path, exclude: tuple[str, ...] = ()) -> Options:
    return Options.model_validate({"paths": [str(path) for path in paths], "exclude": list(exclude)})


def engine(*granted: Path) -> FilesEngine:
    return FilesEngine(granted=[str(path) for path in granted], now=lambda: NOON)


class Dumped:
    """A dump of `paths`, with something that happens when so many bytes of it were read."""

    def __init__(self, *paths: Path, exclude: tuple[str, ...] = (), meanwhile: object = None, after: int = 0) -> None:
        with engine(*paths).dump(options(*paths, exclude=exclude), {}, "exact") as session:
            self.cut_at = session.cut_at
            producer = session.artefacts()[0].open()
            first = _exactly(producer, after)
            if callable(meanwhile):
                meanwhile()
            self.body = first + producer.stdout.read()
            producer.finish()
            self.inventory: Inventory = session.inventory()
            self.facts = dict(session.facts)

    @property
    def counted(self) -> dict[str, int]:
        counted = self.facts["counted"]
        assert isinstance(counted, dict)
        return counted

    def names(self) -> list[str]:
        with tarfile.open(fileobj=io.BytesIO(self.body), encoding="utf-8", errors="surrogateescape") as archive:
            return archive.getnames()


def _exactly(producer: Producer, count: int) -> bytes:
    found = b""
    while len(found) < count:
        found += producer.stdout.read(count - len(found))
    return found


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def below(dumped: Dumped, root: Path) -> set[str]:
    prefix = str(root)[1:] + "/"
    return {name.removeprefix(prefix) for name in dumped.names() if name.startswith(prefix)}


# --- what is in it -------------------------------------------------------------------------------------------------


def test_stock_tar_unpacks_the_stream_to_the_same_tree(tmp_path: Path) -> None:
    root, back = tmp_path / "srv", tmp_path / "back"
    fill(root)
    back.mkdir()
    dumped = Dumped(root)
    command = ["tar", "--numeric-owner", "-xpf", "-", "-C", str(back)]
    done = subprocess.run(command, input=dumped.body, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert picture(back / str(root)[1:]) == picture(root)


def test_the_inventory_tells_files_and_bytes_per_path_and_the_manifest_no_name(tmp_path: Path) -> None:
    one, two, empty = tmp_path / "one", tmp_path / "two", tmp_path / "none"
    for root in (one, two, empty):
        root.mkdir()
    (one / "a").write_bytes(b"12345")
    os.link(one / "a", one / "b")
    (one / "link").symlink_to("a")
    (two / "c").write_bytes(b"123")
    single = tmp_path / "single"
    single.write_bytes(b"1")
    dumped = Dumped(one, two, empty, single)
    assert dumped.inventory.tables == {str(one): 3, str(two): 1, str(empty): 0, str(single): 1}
    assert dumped.inventory.details["bytes_of"] == {str(one): 5, str(two): 3, str(empty): 0, str(single): 1}
    assert dumped.inventory.bytes == 9
    assert dumped.counted == {"files": 5, "folders": 3, "bytes": 9, "skipped": 0, "vanished": 0, "changed": 0}
    assert str(one) not in str(dumped.facts)


def test_data_are_as_of_the_start_of_the_walk(tmp_path: Path) -> None:
    assert Dumped(tmp_path).cut_at == NOON.replace(microsecond=0)


def test_folders_above_a_path_are_stored_with_their_modes_once_and_without_their_content(tmp_path: Path) -> None:
    top = tmp_path / "guarded"
    top.mkdir(mode=0o710)
    for name in ("one", "two", "other"):
        (top / name).mkdir()
    dumped = Dumped(top / "one", top / "two")
    names = dumped.names()
    assert names.count(str(top)[1:]) == 1
    assert str(top / "other")[1:] not in names
    with tarfile.open(fileobj=io.BytesIO(dumped.body)) as archive:
        assert archive.getmember(str(top)[1:]).mode == 0o710


def test_sockets_and_fifos_are_left_out_and_told(tmp_path: Path) -> None:
    odd(tmp_path)
    (tmp_path / "file").touch()
    dumped = Dumped(tmp_path)
    assert below(dumped, tmp_path) == {"file"}
    assert dumped.counted["skipped"] == 2
    assert dumped.inventory.details["skipped"] == [str(tmp_path / "fifo"), str(tmp_path / "socket")]


def test_a_device_is_left_out_and_told(tmp_path: Path) -> None:
    root = Path("/dev/null")
    dumped = Dumped(root)
    assert str(root)[1:] not in dumped.names()
    assert dumped.inventory.details["skipped"] == ["/dev/null"]


def test_extended_attributes_of_users_are_in_the_stream_as_gnu_tar_writes_them(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    value = b"a=b\n\0\xff"
    os.setxattr(file, "user.colour", value)
    body = Dumped(tmp_path).body
    assert b" SCHILY.xattr.user.colour=" + value + b"\n" in body
    (tmp_path / "back").mkdir()
    command = ["tar", "--xattrs", "-xf", "-", "-C", str(tmp_path / "back")]
    subprocess.run(command, input=body, check=True)
    assert os.getxattr(tmp_path / "back" / str(file)[1:], "user.colour") == value


@pytest.mark.parametrize(
    ("patterns", "left"),
    [
        ((), {"a.tmp", "keep", "keep/b.tmp", "keep/c", "keep/d", "keep/d/c"}),
        (("*.tmp",), {"keep", "keep/c", "keep/d", "keep/d/c"}),
        (("c",), {"a.tmp", "keep", "keep/b.tmp", "keep/d"}),
        (("keep/*",), {"a.tmp", "keep"}),
        (("keep/c",), {"a.tmp", "keep", "keep/b.tmp", "keep/d", "keep/d/c"}),
        (("**/d/c",), {"a.tmp", "keep", "keep/b.tmp", "keep/c", "keep/d"}),
        (("*/c",), {"a.tmp", "keep", "keep/b.tmp", "keep/d", "keep/d/c"}),
        (("ROOT/keep",), {"a.tmp"}),
        (("ROOT/**/c",), {"a.tmp", "keep", "keep/b.tmp", "keep/d"}),
        (("[ab].tmp", "?"), {"keep"}),
        (("*",), set()),
    ],
)
def test_excluded_names_are_left_out_with_all_that_is_in_them(
    tmp_path: Path, patterns: tuple[str, ...], left: set[str]
) -> None:
    root = tmp_path / "root"
    (root / "keep" / "d").mkdir(parents=True)
    for name in ("a.tmp", "keep/b.tmp", "keep/c", "keep/d/c"):
        (root / name).touch()
    exclude = tuple(pattern.replace("ROOT", str(root)) for pattern in patterns)
    assert below(Dumped(root, exclude=exclude), root) == left


def test_a_listed_path_is_never_excluded_itself(tmp_path: Path) -> None:
    root = tmp_path / "data.tmp"
    root.mkdir()
    (root / "x").touch()
    assert below(Dumped(root, exclude=("*.tmp",)), root) == {"x"}


def test_a_name_that_is_not_utf_8_is_compared_as_well() -> None:
    assert Exclusion(["caf?.txt"]).leaves_out("/srv", f"/srv/{LATIN}")


# --- nothing outside -----------------------------------------------------------------------------------------------


def test_a_link_to_a_folder_is_stored_as_a_link(tmp_path: Path) -> None:
    outside, root = tmp_path / "outside", tmp_path / "root"
    outside.mkdir()
    root.mkdir()
    (outside / "secret").write_bytes(b"geheim")
    (root / "link").symlink_to(outside)
    dumped = Dumped(root)
    assert below(dumped, root) == {"link"}
    assert b"geheim" not in dumped.body


def test_a_folder_that_becomes_a_link_while_its_parent_is_read_is_not_followed(tmp_path: Path) -> None:
    outside, root = tmp_path / "outside", tmp_path / "root"
    outside.mkdir()
    (outside / "secret").write_bytes(b"geheim")
    (root / "b").mkdir(parents=True)
    (root / "a").write_bytes(bytes(MIB))
    (root / "c").write_bytes(bytes(MIB))

    def swap() -> None:
        (root / "b").rmdir()
        (root / "b").symlink_to(outside)
        (root / "c").unlink()
        (root / "c").symlink_to(outside / "secret")

    dumped = Dumped(root, meanwhile=swap, after=MIB // 2)
    assert b"geheim" not in dumped.body
    assert below(dumped, root) == {"a", "b", "c"}
    with tarfile.open(fileobj=io.BytesIO(dumped.body)) as archive:
        assert archive.getmember(str(root / "b")[1:]).issym()


@pytest.mark.parametrize("place", ["root", "root/below/x", "root/below"])
def test_a_link_below_what_was_granted_leads_nowhere(tmp_path: Path, place: str) -> None:
    outside = tmp_path / "outside"
    (outside / "x").mkdir(parents=True)
    (outside / "x" / "secret").touch()
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "below").symlink_to(outside)
    listed = tmp_path / place
    if place == "root":
        assert below(Dumped(listed), listed) == {"below"}
        return
    with pytest.raises(Refused, match=r"link|reached"), engine(tmp_path / "root").dump(options(listed), {}, "exact"):
        pass


def test_a_link_above_or_at_what_was_granted_is_the_word_of_whoever_granted_it(tmp_path: Path) -> None:
    real = tmp_path / "real"
    (real / "below").mkdir(parents=True)
    (real / "below" / "file").write_bytes(b"words")
    link = tmp_path / "link"
    link.symlink_to(real)
    listed = link / "below"
    with engine(link).dump(options(listed), {}, "exact") as session:
        producer = session.artefacts()[0].open()
        assert b"words" in producer.stdout.read()


@pytest.mark.parametrize(
    ("granted", "listed"),
    [([], "root"), (["other"], "root"), (["root/below"], "root"), (["roo"], "root"), (["root"], "root2")],
)
def test_what_was_not_granted_is_refused(tmp_path: Path, granted: list[str], listed: str) -> None:
    for name in ("root", "root2", "roo", "other"):
        (tmp_path / name).mkdir()
    grants = [tmp_path / name for name in granted]
    with (
        pytest.raises(Refused, match="not granted"),
        engine(*grants).dump(options(tmp_path / listed), {}, "exact"),
    ):
        pass


def test_all_of_the_host_may_be_granted(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with engine(Path("/")).dump(options(tmp_path), {}, "exact") as session:
        assert str(tmp_path / "file")[1:].encode() in session.artefacts()[0].open().stdout.read()


def test_a_path_that_is_not_there_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="not there"), engine(tmp_path).dump(options(tmp_path / "x"), {}, "exact"):
        pass


# --- what happens meanwhile ----------------------------------------------------------------------------------------


def test_what_vanishes_after_it_was_listed_is_told_and_the_rest_is_whole(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(bytes(MIB))
    for name in ("b", "d"):
        (tmp_path / name).write_bytes(b"words")
    (tmp_path / "c").mkdir()

    def vanish() -> None:
        (tmp_path / "b").unlink()
        (tmp_path / "c").rmdir()

    dumped = Dumped(tmp_path, meanwhile=vanish, after=MIB // 2)
    assert below(dumped, tmp_path) == {"a", "d"}
    assert dumped.counted["vanished"] == 2
    assert dumped.inventory.details["vanished"] == [str(tmp_path / "b"), str(tmp_path / "c")]
    assert dumped.inventory.tables == {str(tmp_path): 2}


@pytest.mark.parametrize("size", [0, 3 * MIB + 5, 9 * MIB])
def test_a_file_that_changes_while_it_is_read_spoils_nothing_and_is_told(tmp_path: Path, size: int) -> None:
    before = 6 * MIB + 100
    (tmp_path / "a").write_bytes(b"x" * before)
    (tmp_path / "b").write_bytes(b"after it")
    dumped = Dumped(tmp_path, meanwhile=lambda: os.truncate(tmp_path / "a", size), after=MIB)
    with tarfile.open(fileobj=io.BytesIO(dumped.body)) as archive:
        read = archive.extractfile(str(tmp_path / "a")[1:])
        assert read is not None
        body = read.read()
        after = archive.extractfile(str(tmp_path / "b")[1:])
        assert after is not None
        assert after.read() == b"after it"
    assert len(body) == before
    assert body.rstrip(b"\0") in b"x" * before
    assert dumped.counted["changed"] == 1
    assert dumped.inventory.details["changed"] == [str(tmp_path / "a")]
    assert dumped.inventory.bytes == before + 8


def test_a_file_that_is_written_to_in_place_is_told(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x" * 6 * MIB)

    def write() -> None:
        with (tmp_path / "a").open("r+b") as file:
            file.write(b"y")
        os.utime(tmp_path / "a", ns=(1, 1))

    assert Dumped(tmp_path, meanwhile=write, after=MIB).counted["changed"] == 1


def test_a_fifo_in_the_place_of_a_file_is_not_waited_for(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(bytes(MIB))
    (tmp_path / "b").touch()

    def swap() -> None:
        (tmp_path / "b").unlink()
        os.mkfifo(tmp_path / "b")

    assert below(Dumped(tmp_path, meanwhile=swap, after=MIB // 2), tmp_path) == {"a"}


READ_AS_NOBODY = """
import sys
from drorch.domain.errors import DrorchError
from drorch.engines.files import FilesEngine, Options
import os, drorch.engines.files.dump
if os.geteuid() == 0:
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
root = sys.argv[1]
try:
    with FilesEngine(granted=[root]).dump(Options.model_validate({"paths": [root]}), {}, "exact") as session:
        session.artefacts()[0].open().stdout.read()
except DrorchError as error:
    print(type(error).__name__, error.resource, error.hint)
"""


@pytest.mark.parametrize("name", ["file", "folder"])
def test_what_cannot_be_read_ends_the_dump_by_its_name(tmp_path: Path, name: str) -> None:
    import sys
    import tempfile

    with tempfile.TemporaryDirectory(dir="/tmp") as place:  # pytest's own folders are closed to others
        root = Path(place) / "root"
        root.mkdir()
        Path(place).chmod(0o755)
        (root / "file").touch()
        (root / "folder").mkdir()
        (root / name).chmod(0)
        done = subprocess.run(
            [sys.executable, "-c", READ_AS_NOBODY, str(root)], capture_output=True, text=True, timeout=60, check=True
        )
        (root / name).chmod(0o700)
    assert done.stdout.startswith(f"Refused {root / name} let drorch read it"), done.stderr


def test_a_dump_that_is_ended_early_closes_its_files_and_does_not_finish_well(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(bytes(4 * MIB))
    before = open_files()
    with engine(tmp_path).dump(options(tmp_path), {}, "exact") as session:
        producer = session.artefacts()[0].open()
        _exactly(producer, MIB)
        assert open_files() > before
        with pytest.raises(Refused, match="dump them first"):
            session.inventory()
        producer.kill()
        assert open_files() == before
        with pytest.raises(DrorchError):
            producer.stdout.read()
        with pytest.raises(Unavailable):
            producer.finish()


def test_all_descriptors_are_closed_after_a_dump_of_many_folders(tmp_path: Path) -> None:
    fill(tmp_path / "root")
    before = open_files()
    Dumped(tmp_path / "root")
    assert open_files() == before


def test_the_walk_changes_nothing(tmp_path: Path) -> None:
    fill(tmp_path / "root")
    before = picture(tmp_path / "root")
    Dumped(tmp_path / "root")
    assert picture(tmp_path / "root") == before
    assert stat.S_ISDIR((tmp_path / "root").stat().st_mode)


# --- what a policy may say -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "Field required"),
        ({"paths": []}, "at least 1"),
        ({"paths": ["srv"]}, "not an absolute path"),
        ({"paths": ["/srv/"]}, "not a plain path"),
        ({"paths": ["/srv/../etc"]}, "not a plain path"),
        ({"paths": ["//srv"]}, "not a plain path"),
        ({"paths": ["/srv\n"]}, "one line"),
        ({"paths": ["/srv", "/srv"]}, "/srv twice"),
        ({"paths": ["/srv", "/srv/shop"]}, "/srv/shop lies within /srv"),
        ({"paths": ["/srv/shop", "/"]}, "/srv/shop lies within /"),
        ({"paths": ["/srv"], "exclude": [""]}, "is not a pattern"),
        ({"paths": ["/srv"], "exclude": ["a//b"]}, "is not a pattern"),
        ({"paths": ["/srv"], "exclude": ["../x"]}, "is not a pattern"),
        ({"paths": ["/srv"], "exclude": "*.tmp"}, "valid tuple"),
        ({"paths": ["/srv"], "excludes": []}, "not permitted"),
    ],
)
def test_options_that_make_no_sense_are_refused(body: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Options.model_validate(body)


def test_neighbours_with_a_common_beginning_are_two_paths() -> None:
    assert Options.model_validate({"paths": ["/srv/a", "/srv/ab"]}).roots == ("/srv/a", "/srv/ab")
