"""The worker process and its runner: jobs through a pipe, no secret anywhere else, gone when whoever started it is."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from dumped import APPLICATION, DATA, MIB, RESOURCE, SITE, World

from drorch.app import worker_protocol
from drorch.app.damage import VerifyOrder
from drorch.app.drill import DrillOrder
from drorch.app.dump import DumpOrder, DumpOutcome
from drorch.app.environment import ambient_sdk_environment, child_environment
from drorch.app.heavy import HeavyHandle
from drorch.app.jobs import DrillJob, DumpJob, HostSpec, Job, RepairJob, ShipJob, VaultSpec, VerifyJob
from drorch.app.passing import Finished
from drorch.app.processes import session_members
from drorch.app.reading import TrustedKey, read_signed
from drorch.app.repair import RepairOrder
from drorch.app.runner import Handle, LocalRunner, Outcome
from drorch.app.ship import ShipOrder
from drorch.app.verify import Place
from drorch.crypto.age import AgeError
from drorch.domain import errors
from drorch.domain.action import Action, Repair, Verify
from drorch.domain.errors import Damaged, DrorchError, InvalidInput, Refused, Unavailable
from drorch.domain.policy import Probe
from drorch.stores.directory import DirectoryStore

TESTS = Path(__file__).parents[1]
SOON = timedelta(seconds=60)
SECRETS = {"orders-db": "hunter2-password", "other": "s3cr3t"}
HANGING = "head -c 20000000 /dev/urandom; sleep 600"
ENDLESS = "while :; do head -c 100000 /dev/urandom; sleep 0.05; done"


class Host:
    """Folders as vaults, keys, and a runner whose workers have fake adapters."""

    def __init__(self, folder: Path, monotonic: Callable[[], float] = time.monotonic, grace: str = "5") -> None:
        self.world = World()
        self.folder = folder
        self.environ = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(TESTS),
            "AWS_REGION": "us-west-2",
            "AWS_SECRET_ACCESS_KEY": "aws-secret-key",
            "PGPASSWORD": "pg-secret",
        }
        self.command = [sys.executable, str(TESTS / "fake_worker.py"), grace]
        self.monotonic = monotonic
        self.started: list[Handle] = []

    def vault(self, name: str, store_type: str = "directory") -> VaultSpec:
        (self.folder / name).mkdir(exist_ok=True)
        return VaultSpec(name, store_type, {"path": str(self.folder / name)})

    def store(self, name: str) -> DirectoryStore:
        return DirectoryStore(name, str(self.folder / name))

    def paths(self, name: str) -> list[str]:
        return sorted(info.path for info in self.store(name).list("drorch/v1/"))

    def dump_job(self, *vaults: VaultSpec, kind: str = "memory", **options: str) -> DumpJob:
        return DumpJob(
            order=DumpOrder(
                site=SITE,
                application=APPLICATION,
                resource=RESOURCE,
                kind=kind,
                point="p1",
                slot="2026-11-20T12:00Z",
                recipients=(self.world.recipient,),
            ),
            vaults=vaults or (self.vault("a"), self.vault("b")),
            options=options,
            secrets=SECRETS,
            signing_key=self.world.key.text(),
        )

    def start(self, job: Job, lock_fd: int | None = None, **settings: timedelta) -> Handle:
        runner = LocalRunner(command=self.command, environ=self.environ, monotonic=self.monotonic, **settings)
        self.started.append(runner.start(job, lock_fd))
        return self.started[-1]

    def run(self, job: Job) -> Outcome:
        outcome = self.start(job).wait(SOON)
        assert outcome is not None, "it hangs"
        return outcome

    def clean_up(self) -> None:
        for handle in self.started:
            if handle.poll() is None:
                os.kill(handle.pid, signal.SIGKILL)
                assert handle.wait(SOON)


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    host = Host(tmp_path)
    yield host
    host.clean_up()


def until(what: Callable[[], object], why: str) -> None:
    """Poll a fact of another process; there is no clock of its to turn."""
    for _ in range(1200):
        if what():
            return
        time.sleep(0.025)
    raise AssertionError(why)


def streaming(host: Host, handle: Handle) -> None:
    until(lambda: handle.progress.get("plain_bytes", 0) > 0, "no progress came")


# --- jobs ----------------------------------------------------------------------------------------------------------


def test_a_dump_through_a_worker_commits_the_point_in_every_vault(host: Host) -> None:
    outcome = DumpOutcome.from_json(host.run(host.dump_job()).get())
    assert outcome.vaults == ("a", "b")
    for vault in outcome.vaults:
        keys = [TrustedKey(host.world.key.public)]
        assert read_signed(host.store(vault), outcome.manifest.path, keys) == outcome.manifest


def test_a_vault_that_cannot_be_opened_is_lost_and_the_others_go_on(host: Host) -> None:
    outcome = DumpOutcome.from_json(host.run(host.dump_job(host.vault("a"), host.vault("b", "refused"))).get())
    assert outcome.vaults == ("a",)
    assert "access denied" in outcome.lost["b"]


def test_when_no_vault_can_be_opened_nothing_is_dumped(host: Host) -> None:
    outcome = host.run(host.dump_job(host.vault("b", "refused")))
    with pytest.raises(Unavailable, match=r"no vault can be written to.*access denied"):
        outcome.get()


def test_a_ship_through_a_worker_brings_the_point_over(host: Host) -> None:
    dumped = DumpOutcome.from_json(host.run(host.dump_job(host.vault("a"))).get())
    job = ShipJob(
        order=ShipOrder(SITE, APPLICATION, RESOURCE, "p1", dumped.cut_at),
        source=host.vault("a"),
        target=host.vault("b"),
        trusted=(TrustedKey(host.world.key.public),),
    )
    assert host.run(job).get()["vault"] == "b"
    assert host.paths("b") == host.paths("a") != []


def test_a_drill_through_a_worker_signs_its_proof_into_the_vaults(host: Host) -> None:
    host.run(host.dump_job()).get()
    probes = (Probe(sql="select count(*) from orders", expect=">= 200"),)
    job = DrillJob(
        order=DrillOrder(SITE, APPLICATION, RESOURCE, "a", probes).to_json(),
        kind="memory",
        vaults=(host.vault("a"), host.vault("b"), host.vault("c", "refused")),
        trusted=(TrustedKey(host.world.key.public),),
        identities=(host.world.identity,),
        signing_key=host.world.key.text(),
    )
    found = host.run(job).get()
    assert found["outcome"] == "passed"
    assert set(found["unwritten"]) == {"c"}
    for vault in "ab":
        assert [path for path in host.paths(vault) if "/proofs/" in path and path.endswith(".json")]


def flip(path: Path) -> None:
    body = bytearray(path.read_bytes())
    body[len(body) // 2] ^= 1
    path.chmod(0o600)
    path.write_bytes(body)


def turn_job(host: Host, dumped: DumpOutcome, turn: int, *more: VaultSpec) -> VerifyJob:
    place = Place(APPLICATION, RESOURCE, dumped.cut_at, "p1")
    return VerifyJob(
        order=VerifyOrder(SITE, APPLICATION, RESOURCE, "a", turn, (place,)),
        vaults=(host.vault("a"), host.vault("b"), *more),
        trusted=(TrustedKey(host.world.key.public),),
        signing_key=host.world.key.text(),
    )


def ended(host: Host, action: Action, job: Job) -> Finished:
    """As the reconciler hears of it."""
    handle = HeavyHandle(action, host.start(job))
    until(lambda: handle.poll() is not None, "it hangs")
    finished = handle.poll()
    assert finished is not None
    return finished


def test_damage_that_a_worker_reads_is_signed_and_told_and_another_worker_repairs_it(host: Host) -> None:
    dumped = DumpOutcome.from_json(host.run(host.dump_job()).get())
    (leaves,) = (host.folder / "a").rglob(f"{DATA}.zst.age.leaves")
    flip(leaves)
    action = Verify(APPLICATION, RESOURCE, "a", "", "turn 7", 7)
    finished = ended(host, action, turn_job(host, dumped, 7, host.vault("c", "refused")))
    assert isinstance(finished.error, Damaged)
    assert [point["point"] for point in finished.result["damaged"]] == ["p1"]
    assert set(finished.result["unwritten"]) == {"c"}
    for vault in "ab":
        (path,) = (path for path in host.paths(vault) if "/proofs/" in path and path.endswith(".json"))
        assert read_signed(host.store(vault), path, [TrustedKey(host.world.key.public)]).text("outcome") == "damaged"
    repair = RepairJob(
        order=RepairOrder(SITE, Place(APPLICATION, RESOURCE, dumped.cut_at, "p1"), source="b", target="a"),
        vaults=(host.vault("a"), host.vault("b")),
        trusted=(TrustedKey(host.world.key.public),),
        signing_key=host.world.key.text(),
    )
    finished = ended(host, Repair(APPLICATION, RESOURCE, "a", "p1", "damaged", "b"), repair)
    assert finished.error is None
    assert leaves.name in finished.text
    finished = ended(host, action, turn_job(host, dumped, 7))
    assert (finished.error, finished.result["damaged"]) == (None, [])
    assert "nothing damaged" in finished.text


def test_a_turn_in_a_vault_that_cannot_be_opened_is_no_damage(host: Host) -> None:
    dumped = DumpOutcome.from_json(host.run(host.dump_job()).get())
    job = replace(turn_job(host, dumped, 7), vaults=(host.vault("a", "refused"), host.vault("b")))
    finished = ended(host, Verify(APPLICATION, RESOURCE, "a", "", "turn 7", 7), job)
    assert finished.error is not None
    assert not isinstance(finished.error, Damaged)
    assert not finished.result, "a turn that was not read must not count as read"
    assert not [path for path in host.paths("b") if "/proofs/" in path]


def test_the_environment_of_the_sdks_reaches_the_worker_through_the_pipe(host: Host) -> None:
    found = host.run(host.dump_job(kind="process", command="echo data")).get()
    assert found["manifest"]["region"] == "us-west-2"


def test_a_job_larger_than_a_pipe_goes_through(host: Host) -> None:
    job = host.dump_job(kind="process", command="echo data", comment="x" * 300_000)
    assert host.run(job).get()["vaults"] == ["a", "b"]


def test_jobs_come_out_of_the_pipe_as_they_went_in(host: Host) -> None:
    keys = (TrustedKey(host.world.key.public), TrustedKey(host.world.key.public, until=host.world.clock.now()))
    spec = HostSpec({"prod": {"id": "1", "role_arn": ""}}, {"postgres": ["/usr/bin"]}, 30)
    ship = ShipJob(
        ShipOrder(SITE, APPLICATION, RESOURCE, "p1", host.world.clock.now()), host.vault("a"), host.vault("b"), keys
    )
    drill = DrillJob({"vault": "a"}, "postgres", (host.vault("a"),), keys, ("AGE-SECRET",), "key", None, SECRETS, spec)
    place = Place(APPLICATION, RESOURCE, host.world.clock.now(), "p1")
    verify = VerifyJob(
        VerifyOrder(SITE, APPLICATION, RESOURCE, "a", 7, (place,)), (host.vault("a"),), keys, "untrusted comment", spec
    )
    repair = RepairJob(RepairOrder(SITE, place, "a", "b"), (host.vault("a"),), keys, "untrusted comment", spec)
    for job in (host.dump_job(), ship, drill, verify, repair):
        assert type(job).from_json(json.loads(json.dumps(job.to_json()))) == job
        assert not [secret for secret in (*SECRETS.values(), "AGE-SECRET", "untrusted comment") if secret in repr(job)]


# --- errors --------------------------------------------------------------------------------------------------------


def test_a_process_that_fails_after_output_commits_nothing_and_its_error_travels(host: Host) -> None:
    outcome = host.run(host.dump_job(kind="process", command="head -c 500000 /dev/urandom; exit 3"))
    with pytest.raises(Unavailable, match=r"the dump process failed.*exit status 3"):
        outcome.get()
    assert host.paths("a") == host.paths("b") == []


def test_a_fault_in_drorch_is_told_in_words_and_its_traceback_kept_aside(host: Host) -> None:
    outcome = host.run(host.dump_job(kind="process", fault="oops"))
    assert outcome.error is not None
    assert (type(outcome.error), outcome.error.exit_code) == (DrorchError, 1)
    assert "ZeroDivisionError: oops" in str(outcome.error)
    assert "Traceback" in outcome.crash
    assert "Traceback" not in str(outcome.error)


@pytest.mark.parametrize(
    "error",
    [cls("it failed", operation="o", hint="h") for cls in (Refused, Unavailable, Damaged, errors.OutcomeUnknown)]
    + [errors.Busy("busy", resource="r", vault="v", cause="c"), DrorchError("plain")],
)
def test_errors_travel_whole(error: DrorchError) -> None:
    found = worker_protocol.error_of(json.loads(json.dumps(worker_protocol.failed_event(error))))
    assert (type(found), str(found), found.exit_code) == (type(error), str(error), error.exit_code)


def test_errors_below_the_tree_travel_as_their_nearest_kind() -> None:
    found = worker_protocol.error_of(worker_protocol.failed_event(AgeError("cut short", operation="decrypt")))
    assert isinstance(found, Damaged)
    findings = [errors.Finding("a.yaml", 1, 2, "wrong")]
    found = worker_protocol.error_of(worker_protocol.failed_event(InvalidInput("bad", findings, hint="look")))
    assert isinstance(found, InvalidInput)
    assert worker_protocol.error_of({"kind": "Sequence", "message": "m"}).exit_code == 1


@pytest.mark.parametrize(("words", "cause"), [("exit 7", "exit status 7"), ("kill -9 $$", "signal 9")])
def test_a_worker_that_dies_without_a_word_is_told_by_its_end(host: Host, words: str, cause: str) -> None:
    host.command = ["/bin/sh", "-c", f"read job; echo last words >&2; {words}"]
    outcome = host.run(host.dump_job())
    assert cause in str(outcome.error)
    assert isinstance(outcome.error, Unavailable)
    assert outcome.crash == "last words\n"


def test_a_worker_that_cannot_be_started_is_unavailable(host: Host) -> None:
    host.command = ["/nonexistent/python"]
    with pytest.raises(Unavailable, match="did not start"):
        host.start(host.dump_job())


@pytest.mark.parametrize("line", [b"", b"no json\n", b'{"job": "format-disk"}\n', b"[]\n"])
def test_what_is_no_job_is_refused(line: bytes) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "drorch.worker"], input=line, capture_output=True, timeout=60, check=False
    )
    assert done.returncode == 3
    assert isinstance(worker_protocol.error_of(json.loads(done.stdout)), InvalidInput)


# --- no secret anywhere else ---------------------------------------------------------------------------------------


def test_no_secret_is_in_the_arguments_or_the_environment_of_any_process(host: Host) -> None:
    job = host.dump_job(kind="process", command=ENDLESS)
    handle = host.start(job)
    streaming(host, handle)
    members = session_members(handle.pid)
    assert len(members) >= 2, "the worker and its dump process"
    secrets = [*SECRETS.values(), host.world.key.text().splitlines()[1], "aws-secret-key", "pg-secret"]
    for pid in members:
        for name in ("cmdline", "environ"):
            seen = Path(f"/proc/{pid}/{name}").read_bytes().decode("utf-8", "replace")
            assert not [secret for secret in secrets if secret in seen], f"{name} of process {pid}"
    handle.cancel()
    assert handle.wait(SOON) is not None


def test_a_child_sees_an_allow_listed_environment() -> None:
    environ = {
        "PATH": "/bin",
        "LC_ALL": "C",
        "TZ": "UTC",
        "SSL_CERT_FILE": "/ca",
        "AWS_ACCESS_KEY_ID": "k",
        "GOOGLE_APPLICATION_CREDENTIALS": "/sa.json",
        "STORAGE_EMULATOR_HOST": "http://h",
        "https_proxy": "http://user:pass@proxy",
        "HTTPS_PROXY": "http://user:pass@proxy",
        "OS_PASSWORD": "p",
        "ST_KEY": "k",
        "AZURE_CLIENT_SECRET": "s",
        "IDENTITY_HEADER": "s",
        "PGPASSWORD": "p",
        "LD_PRELOAD": "/evil.so",
        "MY_TOKEN": "t",
    }
    child, sdk = child_environment(environ), ambient_sdk_environment(environ)
    own = {"MALLOC_ARENA_MAX", "MALLOC_MMAP_THRESHOLD_"}  # ours, for a small worker
    assert set(child) - own == {"PATH", "LC_ALL", "TZ", "SSL_CERT_FILE"}
    assert own < set(child)
    assert set(environ) - set(sdk) - set(child) == {"PGPASSWORD", "LD_PRELOAD", "MY_TOKEN"}
    assert not set(sdk) & set(child)


# --- the end -------------------------------------------------------------------------------------------------------

PARENT = """
import sys, time
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from test_worker import ENDLESS, Host
host = Host(Path(sys.argv[2]))
handle = host.start(host.dump_job(kind="process", command=ENDLESS))
while not handle.progress.get("plain_bytes"):
    handle.poll()
    time.sleep(0.02)
print(handle.pid, flush=True)
time.sleep(600)
"""


def test_when_its_parent_is_killed_the_worker_and_its_children_are_gone_and_nothing_commits(tmp_path: Path) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(TESTS / "app"), str(tmp_path)],
        env={**os.environ, "PYTHONPATH": str(TESTS)},
        stdout=subprocess.PIPE,
    )
    assert parent.stdout is not None
    worker = int(parent.stdout.readline())
    assert len(session_members(worker)) >= 2
    parent.kill()
    parent.wait()
    parent.stdout.close()
    until(lambda: not session_members(worker), "the worker or a child of it lives on")
    for vault in "ab":
        store = DirectoryStore(vault, str(tmp_path / vault))
        assert list(store.list("drorch/v1/")) == []


@pytest.mark.parametrize("how", ["control pipe", "SIGTERM"])
def test_cancelled_a_worker_abandons_its_dump_safely(host: Host, how: str) -> None:
    handle = host.start(host.dump_job(kind="process", command=HANGING))
    until(lambda: min(handle.progress.get("vaults", {"": 0}).values()) >= 8 * MIB, "no vault took a part")
    if how == "SIGTERM":
        os.kill(handle.pid, signal.SIGTERM)
    else:
        handle.cancel()
        handle.cancel()
    outcome = handle.wait(SOON)
    assert outcome is not None
    assert "it was cancelled" in str(outcome.error)
    assert session_members(handle.pid) == ()
    assert host.paths("a") == host.paths("b") == []
    assert not list((host.folder / "a" / ".incoming").iterdir()), "its upload was aborted"
    assert handle.poll() is outcome


def test_a_worker_that_hangs_in_a_vault_is_gone_after_its_grace(tmp_path: Path) -> None:
    host = Host(tmp_path, grace="0.3")
    handle = host.start(host.dump_job(host.vault("a", "stalling"), kind="process", command=HANGING))
    until(lambda: handle.progress.get("cipher_bytes", 0) > 8 * MIB, "no part was made")
    handle.cancel()
    outcome = handle.wait(SOON)
    assert outcome is not None
    assert isinstance(outcome.error, Unavailable)
    assert session_members(handle.pid) == ()
    assert host.paths("a") == []


def test_a_worker_that_does_not_listen_is_killed_with_its_children(tmp_path: Path) -> None:
    now = [0.0]
    host = Host(tmp_path, lambda: now[0])
    host.command = ["/bin/sh", "-c", "trap '' TERM; (sleep 600) & sleep 600"]
    handle = host.start(host.dump_job(), grace=timedelta(seconds=15))
    until(lambda: len(session_members(handle.pid)) >= 3, "it did not start")
    handle.cancel()
    now[0] = 14.0
    assert handle.poll() is None
    now[0] = 15.1
    assert handle.poll() is None
    until(handle.poll, "it lives on")
    assert session_members(handle.pid) == ()
    assert "it was cancelled" in str(handle.poll().error)  # type: ignore[union-attr]


def test_a_worker_that_makes_no_progress_is_ended(tmp_path: Path) -> None:
    now = [0.0]
    host = Host(tmp_path, lambda: now[0])
    command = "head -c 3000000 /dev/urandom; sleep 600"
    handle = host.start(host.dump_job(kind="process", command=command), stall=timedelta(minutes=30))
    streaming(host, handle)
    now[0] = 1799.0
    assert handle.poll() is None

    def half_an_hour_later() -> Outcome | None:
        now[0] += 1801.0
        return handle.poll()

    until(half_an_hour_later, "it was not ended")
    outcome = handle.poll()
    assert outcome is not None
    assert "made no progress" in str(outcome.error)
    assert host.paths("a") == []


def test_progress_is_told_while_it_runs(host: Host) -> None:
    handle = host.start(host.dump_job(kind="process", command=ENDLESS))
    streaming(host, handle)
    first = handle.progress["plain_bytes"]
    until(lambda: handle.progress["plain_bytes"] > first, "it told only once")
    assert set(handle.progress) >= {"step", "resource", "name", "plain_bytes", "cipher_bytes", "vaults"}
    handle.cancel()
    assert handle.wait(timedelta(0)) is None or handle.wait(SOON) is not None


def test_a_held_lock_means_that_the_worker_runs(host: Host, tmp_path: Path) -> None:
    """It inherits the descriptor: the lock outlives whoever took it, and ends with the worker, not with its child."""
    path = tmp_path / "lock"
    mine = os.open(path, os.O_RDWR | os.O_CREAT)
    fcntl.flock(mine, fcntl.LOCK_EX)
    handle = host.start(host.dump_job(kind="process", command=ENDLESS), mine)
    os.close(mine)
    streaming(host, handle)
    other = os.open(path, os.O_RDWR)
    try:
        with pytest.raises(BlockingIOError):
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.kill(handle.pid, signal.SIGKILL)
        assert handle.wait(SOON) is not None
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    finally:
        os.close(other)


def test_a_worker_killed_in_mid_stream_leaves_no_child_and_nothing_committed(host: Host) -> None:
    handle = host.start(host.dump_job(kind="process", command=f"trap '' PIPE; {ENDLESS}"))
    streaming(host, handle)
    os.kill(handle.pid, signal.SIGKILL)
    outcome = handle.wait(SOON)
    assert outcome is not None
    assert "signal 9" in str(outcome.error)
    assert session_members(handle.pid) == ()
    assert host.paths("a") == []
