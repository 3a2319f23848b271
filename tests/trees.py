"""Folders with a bit of everything, and what there is to compare of them."""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path

LATIN = os.fsdecode(b"caf\xe9.txt")
LONG = "long-" + "x" * 180
SPARSE = 8 << 20


def fill(root: Path) -> None:
    """Plain, empty, large, sparse, linked, oddly named and strictly guarded things below `root`."""
    root.mkdir(parents=True)
    (root / "plain.txt").write_bytes(b"words\n")
    (root / "empty").touch()
    (root / "large.bin").write_bytes(os.urandom(64 * 1024) * 20)
    (root / LATIN).write_bytes(b"not UTF-8")
    (root / "Ünï código\n.txt").write_bytes(b"a line in its name")
    (root / "empty folder").mkdir()
    deep = root / LONG / LONG / "below"
    deep.mkdir(parents=True)
    (deep / LONG).write_bytes(b"far down")
    with (root / "sparse.img").open("wb") as sparse:
        sparse.write(b"first")
        sparse.seek(SPARSE)
        sparse.write(b"last")
    (root / "first name").write_bytes(b"one file, three names")
    os.link(root / "first name", root / "second name")
    os.link(root / "first name", deep / "third name")
    (root / "to plain").symlink_to("plain.txt")
    (root / "out").symlink_to("/etc/passwd")
    (root / "dangling").symlink_to("../" * 60 + "nowhere/" + LONG)
    guarded = root / "guarded"
    guarded.mkdir()
    (guarded / "program").write_bytes(b"#!/bin/sh\n")
    rights = 0o6000 if os.geteuid() == 0 else 0  # setuid and setgid, which only root gets back
    (guarded / "program").chmod(0o750 | rights)
    (guarded / "secret").write_bytes(b"for its owner")
    (guarded / "secret").chmod(0o400)
    if os.geteuid() == 0:
        os.chown(guarded / "secret", 12345, 3_000_000)  # more than an old header holds
    os.utime(root / "plain.txt", ns=(0, 1_234_567_890_123_456_789))
    os.utime(root / "empty", ns=(0, 1_500_000_000))
    os.utime(root / "to plain", ns=(0, 1_000_000_000_000_000_001), follow_symlinks=False)
    guarded.chmod(0o510 | rights & 0o2000)
    os.utime(guarded, ns=(0, 946_684_800_000_000_001))


def odd(root: Path) -> None:
    """A fifo and a socket below `root`: what no backup can hold."""
    os.mkfifo(root / "fifo")
    here = os.open(root, os.O_RDONLY)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"/proc/self/fd/{here}/socket")  # a path of a socket is at most 107 bytes long
    os.close(here)


def picture(root: Path, *, exact: bool = True) -> dict[str, tuple[object, ...]]:
    """Everything below `root` by its relative name: type, mode, owner, mtime, content, which names are one file.

    `exact` compares nanoseconds, else whole seconds.
    """
    found: dict[str, tuple[object, ...]] = {}
    inodes: dict[int, str] = {}
    for path in sorted([root, *root.rglob("*")], key=os.fsencode):
        info = path.lstat()
        name = str(path.relative_to(root))
        content: object = None
        if stat.S_ISREG(info.st_mode):
            content = path.read_bytes()
        elif stat.S_ISLNK(info.st_mode):
            content = str(path.readlink())
        one = inodes.setdefault(info.st_ino, name)
        when = info.st_mtime_ns if exact else info.st_mtime_ns // 10**9
        found[name] = (info.st_mode, info.st_uid, info.st_gid, when, content, one)
    return found
