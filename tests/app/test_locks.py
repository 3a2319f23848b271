"""Locks: held means running, whoever runs it, and they die with their holder."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from drorch.app.locks import Locks, resource_lock, restoring_lock
from drorch.domain.errors import Busy, Unavailable


def test_a_lock_is_held_once_and_says_by_whom(tmp_path: Path) -> None:
    locks, others = Locks(tmp_path), Locks(tmp_path)
    assert locks.holder("shop.data") == ""
    lock = locks.take("shop.data", "cut")
    assert others.holder("shop.data") == f"cut (process {os.getpid()})"
    with pytest.raises(Busy, match=r"shop\.data is locked.*cut \(process") as caught:
        others.take("shop.data", "backup")
    assert caught.value.exit_code == 4
    lock.release()
    lock.release()
    assert others.holder("shop.data") == ""
    others.take("shop.data", "x").release()
    with others.held("shop.data", "backup"):
        assert "backup" in locks.holder("shop.data")
    assert locks.holder("shop.data") == ""


def test_an_earlier_holders_longer_name_leaves_nothing_behind(tmp_path: Path) -> None:
    locks = Locks(tmp_path)
    locks.take("a.b", "a very long description of what was done here").release()
    with locks.held("a.b", "cut"):
        assert locks.holder("a.b") == f"cut (process {os.getpid()})"


def test_a_held_block_that_raises_lets_go(tmp_path: Path) -> None:
    locks = Locks(tmp_path)
    with pytest.raises(RuntimeError), locks.held("a.b", "cut"):
        raise RuntimeError
    assert locks.holder("a.b") == ""


def test_a_lock_lives_as_long_as_the_child_that_inherited_it(tmp_path: Path) -> None:
    locks = Locks(tmp_path)
    lock = locks.take("shop.orders", "cut")
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, pass_fds=(lock.descriptor,))
    lock.release()
    assert locks.holder("shop.orders")
    with pytest.raises(Busy):
        locks.take("shop.orders", "ship")
    child.send_signal(signal.SIGKILL)
    child.wait()
    assert child.stdin is not None
    child.stdin.close()
    assert locks.holder("shop.orders") == ""


def test_other_children_do_not_inherit_it(tmp_path: Path) -> None:
    locks = Locks(tmp_path)
    lock = locks.take("shop.orders", "cut")
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        lock.release()
        assert locks.holder("shop.orders") == ""
        child.kill()


def test_a_look_at_the_holder_never_keeps_anybody_out(tmp_path: Path) -> None:
    """Looking takes a shared lock for an instant."""
    locks, stop = Locks(tmp_path), threading.Event()
    locks.take("a.b", "x").release()

    def look() -> None:
        while not stop.is_set():
            locks.holder("a.b")

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        for _ in range(300):
            locks.take("a.b", "cut").release()
    finally:
        stop.set()
        watcher.join()


def test_a_state_folder_that_cannot_be_written_to_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Unavailable, match="lock file"):
        Locks(tmp_path / "file").take("a.b", "cut")
    assert Locks(tmp_path / "nothing").holder("a.b") == ""


def test_resources_of_names_that_run_together_have_locks_of_their_own() -> None:
    names = {resource_lock(a, r) for a, r in (("a", "b-c"), ("a-b", "c"), ("a_b", "c"), ("a", "b_c"))}
    assert len(names) == 4


def test_what_is_shared_is_seen_as_long_as_anybody_holds_it(tmp_path: Path) -> None:
    locks = Locks(tmp_path)
    name = restoring_lock("shop")
    assert locks.sharer(name) == ""
    with locks.shared(name, "a restore"):
        with Locks(tmp_path).shared(name, "another restore"):
            assert "another restore" in locks.sharer(name)
        assert locks.sharer(name)
    assert locks.sharer(name) == ""


def test_a_shared_lock_that_cannot_be_made_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "locks").touch()
    with pytest.raises(Unavailable), Locks(tmp_path).shared("x", "a restore"):
        raise AssertionError("it was held")
