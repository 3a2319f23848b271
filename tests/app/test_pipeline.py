"""One artefact on its way to several vaults: whole where it can be, absent everywhere else, in bounded memory."""

from __future__ import annotations

import hashlib
import itertools
import os
import random
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path

import pytest
import zstandard
from dumped import MIB, NOON
from faults import FaultyStore
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from producers import Broken, Given, Process, Silent

from drorch.app.pipeline import Cutting, StreamProgress, StreamResult, cutting, stream_artefact
from drorch.app.vault_writers import VaultWriters
from drorch.crypto.age import Decryptor, identity_file, new_identity
from drorch.domain.errors import InvalidInput, Unavailable
from drorch.ports import ObjectStore, Producer, StoreLimits
from drorch.stores.directory import DirectoryStore
from drorch.stores.memory import MemoryStore

FOLDER = "drorch/v1/data/shop/orders/20261120T120000Z-p1/"
NAME = "data.pgcustom"
OBJECT = FOLDER + NAME + ".zst.age"
IDENTITY, RECIPIENT = new_identity()
SMALL = StoreLimits(part_bytes=MIB)
STEPS = ("upload", "write", "commit")


class Ticker:
    """A monotonic clock turned by hand."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def noise(size: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(size)


def memory(vault: str, limits: StoreLimits = SMALL) -> MemoryStore:
    return MemoryStore(vault, limits=limits)


def faulty(vault: str) -> FaultyStore:
    return FaultyStore(memory(vault))


def objects(store: ObjectStore) -> dict[str, bytes]:
    inner = store.inner if isinstance(store, FaultyStore) else store
    return {info.path: b"".join(inner.read(info.path)) for info in inner.list("")}


def send(
    producer: Producer,
    stores: Mapping[str, ObjectStore],
    *,
    volume_bytes: int | None = None,
    cancel: threading.Event | None = None,
    ticker: Callable[[], float] | None = None,
    progress: Callable[[StreamProgress], None] = lambda _progress: None,
) -> tuple[StreamResult, dict[str, str]]:
    """Stream and commit; the result and what was lost."""
    cut = cutting(stores, volume_bytes) if volume_bytes else cutting(stores)
    stall = timedelta(seconds=60)
    with VaultWriters(stores, cut.part_bytes, stall=stall, cancel=cancel, monotonic=ticker or Ticker()) as writers:
        result = stream_artefact(NAME, producer, [RECIPIENT], writers, FOLDER, cut.volume_bytes, progress)
        writers.commit()
        return result, {vault: str(error) for vault, error in writers.lost.items()}


def in_background(work: Callable[[], object]) -> tuple[threading.Thread, list[BaseException]]:
    errors: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - told to the test
            errors.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread, errors


def ended(thread: threading.Thread) -> None:
    thread.join(30)
    assert not thread.is_alive(), "it hangs"


def plain(cipher: bytes) -> bytes:
    decryptor = Decryptor([IDENTITY])
    packed = bytes(decryptor.update(cipher)) + decryptor.finish()
    return zstandard.ZstdDecompressor().stream_reader(packed, read_across_frames=True).read()


def check_digests(result: StreamResult, there: dict[str, bytes]) -> bytes:
    """Volumes, leaves and digests agree with what lies there; the whole ciphertext."""
    whole = b""
    for volume in result.artefact.volumes:
        body = there[FOLDER + volume.object]
        assert (len(body), hashlib.sha256(body).hexdigest()) == (volume.bytes, volume.sha256)
        whole += body
    leaves = b"".join(hashlib.sha256(whole[at : at + MIB]).digest() for at in range(0, len(whole), MIB))
    assert result.leaves == leaves
    assert result.artefact.leaves_sha256 == hashlib.sha256(leaves).hexdigest()
    assert (result.artefact.bytes, result.artefact.leaves_bytes) == (len(whole), len(leaves))
    assert whole[result.artefact.header_bytes - 48 :].startswith(b"---")
    return whole


def test_the_stock_age_and_zstd_open_the_volumes_put_together(tmp_path: Path) -> None:
    data = noise(5 * MIB + 12_345) + b"text " * MIB
    stores = {"a": memory("a"), "b": memory("b")}
    result, lost = send(Given(data), stores, volume_bytes=2 * MIB)
    assert not lost
    assert objects(stores["a"]) == objects(stores["b"])
    names = [volume.object for volume in result.artefact.volumes]
    assert names == [f"{NAME}.zst.age", f"{NAME}.zst.age.001", f"{NAME}.zst.age.002"]
    assert [volume.bytes for volume in result.artefact.volumes[:-1]] == [2 * MIB, 2 * MIB]
    (tmp_path / "key").write_text(identity_file(IDENTITY, NOON))
    (tmp_path / "cipher").write_bytes(check_digests(result, objects(stores["a"])))
    command = f"age -d -i {tmp_path}/key {tmp_path}/cipher | zstd -d"
    assert subprocess.run(["/bin/sh", "-c", command], check=True, capture_output=True, timeout=60).stdout == data
    assert result.plain_bytes == len(data)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(0, 3 * MIB), st.sampled_from([MIB, 2 * MIB]))
def test_any_length_comes_out_as_it_went_in(length: int, volume_bytes: int) -> None:
    """Chunks of age straddle parts and volumes at every length; full last parts and empty data are among them."""
    data = noise(length)
    store = memory("a")
    result, _ = send(Given(data), {"a": store}, volume_bytes=volume_bytes)
    assert plain(check_digests(result, objects(store))) == data


def test_the_stream_is_frames_of_two_mib_in_their_order_each_telling_its_size() -> None:
    """Zeros compress in no time, noise takes long: the frames of zeros are ready first and go out in their place."""
    data = b"".join(noise(2 * MIB, n) if n % 2 else bytes(2 * MIB) for n in range(8)) + b"rest"
    store = memory("a")
    result, _ = send(Given(data), {"a": store})
    decryptor = Decryptor([IDENTITY])
    packed = bytes(decryptor.update(check_digests(result, objects(store)))) + decryptor.finish()
    sizes = []
    while packed:
        sizes.append(zstandard.frame_content_size(packed))
        frame = zstandard.ZstdDecompressor().decompressobj()
        assert frame.decompress(packed) == data[sum(sizes[:-1]) : sum(sizes)]
        packed = frame.unused_data
    assert sizes == [2 * MIB] * 8 + [4]


def test_parts_of_several_sizes_are_cut_for_each_vault() -> None:
    big, small = StoreLimits(part_bytes=4 * MIB), StoreLimits(part_bytes=MIB, max_parts=10)
    stores = {"big": memory("big", big), "small": memory("small", small)}
    assert cutting(stores) == Cutting(part_bytes=4 * MIB, volume_bytes=8 * MIB)
    result, lost = send(Given(noise(13 * MIB)), stores)
    assert not lost
    assert len(result.artefact.volumes) == 2
    assert objects(stores["big"]) == objects(stores["small"])


def test_volumes_are_64_gib_unless_a_vault_takes_less() -> None:
    assert cutting({"a": MemoryStore("a")}) == Cutting(8 * MIB, 64 * 1024 * MIB)
    few = StoreLimits(max_parts=1000)
    assert cutting({"a": MemoryStore("a"), "b": memory("b", few)}).volume_bytes == 8000 * MIB


@pytest.mark.parametrize("sizes", [(3 * MIB, 8 * MIB), (MIB + 1,)])
def test_vaults_whose_parts_do_not_fit_together_are_refused(sizes: tuple[int, ...]) -> None:
    stores = {f"v{size}": memory(f"v{size}", StoreLimits(part_bytes=size)) for size in sizes}
    with pytest.raises(InvalidInput, match="cannot take one dump together"):
        cutting(stores)


# --- the producer dies ---------------------------------------------------------------------------------------------


def test_a_process_that_exits_non_zero_after_output_leaves_nothing_in_any_vault() -> None:
    stores = {"a": memory("a"), "b": memory("b")}
    with pytest.raises(Unavailable, match="exit status 3"):
        send(Process("head -c 4000000 /dev/urandom; exit 3"), stores)
    assert objects(stores["a"]) == objects(stores["b"]) == {}


def test_a_process_killed_in_mid_stream_leaves_nothing() -> None:
    store = memory("a")
    with pytest.raises(Unavailable, match="exit status -9"):
        send(Process("head -c 3000000 /dev/urandom; kill -9 $$"), {"a": store})
    assert objects(store) == {}


def test_a_pipe_that_fails_leaves_nothing_and_the_process_is_killed() -> None:
    store, producer = memory("a"), Broken()
    with pytest.raises(Unavailable, match="Input/output error"):
        send(producer, {"a": store})
    assert objects(store) == {}
    assert producer.killed


def test_a_bad_recipient_is_refused_before_anything_is_written() -> None:
    store = memory("a")
    with VaultWriters({"a": store}, MIB) as writers, pytest.raises(InvalidInput):
        stream_artefact(NAME, Given(b"data"), ["age1nonsense"], writers, FOLDER, MIB)
    assert objects(store) == {}


# --- a vault dies or stalls ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("after", [0, 2])
@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("sick", ["a", "b", "c"])
def test_a_vault_that_fails_leaves_the_others_whole(sick: str, step: str, after: int) -> None:
    stores = {vault: faulty(vault) for vault in "abc"}
    stores[sick].faults.order(step, "before", after=after)
    result, lost = send(Given(noise(5 * MIB)), stores, volume_bytes=2 * MIB)
    assert set(lost) == {sick}
    assert "as ordered" in lost[sick]
    for vault in set("abc") - {sick}:
        assert plain(check_digests(result, objects(stores[vault]))) == noise(5 * MIB)
    assert len(objects(stores[sick])) < len(result.artefact.volumes)
    assert stores[sick].faults.calls["abort"] > 0 or step == "upload"


@pytest.mark.parametrize("step", STEPS)
def test_a_vault_that_stalls_is_dropped_after_its_deadline_and_never_commits(step: str) -> None:
    ticker, data = Ticker(), noise(9 * MIB)
    stores = {"good": faulty("good"), "slow": faulty("slow")}
    stores["slow"].faults.order(step, "stall")
    found: list[tuple[StreamResult, dict[str, str]]] = []
    thread, errors = in_background(lambda: found.append(send(Given(data), stores, ticker=ticker)))
    assert stores["slow"].faults.stalled.wait(30)
    ticker.seconds = 59
    thread.join(0.3)
    assert thread.is_alive(), "it was given up before its deadline"
    ticker.seconds = 121
    ended(thread)
    assert not errors
    result, lost = found[0]
    assert "made no progress" in lost["slow"]
    assert plain(check_digests(result, objects(stores["good"]))) == data
    stores["slow"].faults.release()
    wait_for_threads("vault slow")
    if step != "commit":  # the call that hung may still do what it was asked; nothing follows it
        assert objects(stores["slow"]) == {}


def wait_for_threads(name: str) -> None:
    for thread in threading.enumerate():
        if thread.name == name:
            thread.join(30)
            assert not thread.is_alive()


def test_the_slowest_vault_sets_the_pace_and_memory_stays_bounded() -> None:
    """While one vault hangs, the producer is read no further than the few parts that may wait."""
    ticker, seen = Ticker(), [0]
    stores = {"good": faulty("good"), "slow": faulty("slow")}
    stores["slow"].faults.order("write", "stall")

    def note(progress: StreamProgress) -> None:
        seen[0] = progress.plain_bytes

    thread, errors = in_background(lambda: send(Given(noise(30 * MIB)), stores, ticker=ticker, progress=note))
    assert stores["slow"].faults.stalled.wait(30)
    thread.join(0.5)
    assert 0 < seen[0] <= 19 * MIB  # three parts and eight frames
    stores["slow"].faults.release()
    ended(thread)
    assert not errors
    assert objects(stores["slow"]) == objects(stores["good"]) != {}


def test_when_every_vault_is_lost_the_error_says_why_each_was() -> None:
    stores = {vault: faulty(vault) for vault in "ab"}
    stores["a"].faults.order("write", "before", after=1)
    stores["b"].faults.order("upload", "before")
    producer = Process("head -c 20000000 /dev/urandom")
    with pytest.raises(Unavailable, match=r"no vault is left.*a: failed.*write.*|no vault is left.*b: failed.*upload"):
        send(producer, stores)
    assert producer.process.returncode == -9
    assert objects(stores["a"]) == objects(stores["b"]) == {}


def test_a_fault_in_one_adapter_costs_only_its_vault() -> None:
    class Wrong(MemoryStore):
        def upload(self, path: str) -> object:  # type: ignore[override]
            raise ZeroDivisionError("oops")

    stores: dict[str, ObjectStore] = {"good": memory("good"), "wrong": Wrong("wrong", limits=SMALL)}  # type: ignore[dict-item]
    _, lost = send(Given(noise(MIB)), stores)
    assert "ZeroDivisionError" in lost["wrong"]
    assert len(objects(stores["good"])) == 1


def test_a_full_disk_costs_only_its_vault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write, left = os.write, [3 * MIB]

    def filling(descriptor: int, data: memoryview) -> int:
        if str(tmp_path) in str(Path(f"/proc/self/fd/{descriptor}").readlink()):
            left[0] -= len(data)
            if left[0] < 0:
                raise OSError(28, "No space left on device")
        return write(descriptor, data)

    monkeypatch.setattr(os, "write", filling)
    stores: dict[str, ObjectStore] = {"nas": DirectoryStore("nas", str(tmp_path), limits=SMALL), "good": memory("good")}
    _, lost = send(Given(noise(6 * MIB)), stores)
    assert "No space left" in lost["nas"]
    assert objects(stores["nas"]) == {}
    assert not list((tmp_path / ".incoming").iterdir()), "what was written is removed"
    assert len(objects(stores["good"])) == 1


# --- cancelled -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("closes", [False, True], ids=["while it writes", "while it does not end"])
def test_cancelling_kills_the_process_and_commits_nothing(closes: bool) -> None:
    store, cancel, producer = memory("a"), threading.Event(), Silent(b"some data", closes=closes)
    thread, errors = in_background(lambda: send(producer, {"a": store}, cancel=cancel))
    thread.join(0.2)
    assert thread.is_alive()
    cancel.set()
    ended(thread)
    assert "it was cancelled" in str(errors[0])
    assert producer.killed.is_set()
    assert objects(store) == {}


def test_cancelling_while_a_vault_hangs_does_not_wait_for_it_for_ever() -> None:
    ticker, cancel, store = Ticker(), threading.Event(), faulty("a")
    store.faults.order("write", "stall")
    thread, errors = in_background(lambda: send(Given(noise(9 * MIB)), {"a": store}, cancel=cancel, ticker=ticker))
    assert store.faults.stalled.wait(30)
    cancel.set()
    thread.join(0.3)
    ticker.seconds = 31
    ended(thread)
    assert "it was cancelled" in str(errors[0])
    store.faults.release()
    wait_for_threads("vault a")
    assert objects(store) == {}


def test_progress_tells_bytes_read_made_and_taken_by_each_vault() -> None:
    seen: list[StreamProgress] = []
    result, _ = send(Given(noise(3 * MIB)), {"a": memory("a"), "b": memory("b")}, progress=seen.append)
    assert (seen[-1].name, seen[-1].plain_bytes, seen[-1].cipher_bytes) == (NAME, 3 * MIB, result.artefact.bytes)
    assert set(seen[-1].vaults) == {"a", "b"}
    assert all(before.plain_bytes <= after.plain_bytes for before, after in itertools.pairwise(seen))


MEMORY_TRIAL = """
import io, os, sys, threading
from drorch.app.pipeline import cutting, stream_artefact
from drorch.app.vault_writers import VaultWriters
from drorch.crypto.age import new_identity
from drorch.ports import StoreLimits

class Drain:
    limits = StoreLimits()
    def __init__(self, vault, pause):
        self.vault, self.pause, self.taken = vault, pause, 0
    def upload(self, path): return self
    def write(self, part):
        self.taken += len(part)
        if self.pause: threading.Event().wait(self.pause)
    def commit(self): pass
    def abort(self): pass

class Source(io.RawIOBase):
    left = int(sys.argv[1])
    def readinto(self, buffer):
        count = min(len(buffer), self.left)
        self.left -= count
        buffer[:count] = os.urandom(count)
        return count

class Producer:
    stdout = Source()
    def finish(self): pass
    def kill(self): pass

stores = {name: Drain(name, pause) for name, pause in (("a", 0), ("b", 0.01), ("c", 0))}
with VaultWriters(stores, cutting(stores).part_bytes) as writers:
    result = stream_artefact("data", Producer(), [new_identity()[1]], writers, "x/", 64 << 30)
    writers.commit()
assert not writers.lost and {store.taken for store in stores.values()} == {result.artefact.bytes}
print(next(int(line.split()[1]) // 1024 for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


def test_memory_does_not_grow_with_the_data() -> None:
    """300 MB into three vaults, one of them slow, in less than 128 MiB; and no more than 30 MB need."""

    def peak(size: int) -> int:
        command = [sys.executable, "-c", MEMORY_TRIAL, str(size)]
        return int(subprocess.run(command, check=True, capture_output=True, timeout=120).stdout)

    small, large = peak(60 * MIB), peak(300 * MIB)
    assert large < 128
    assert large < small * 1.1
