from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from drorch.app import doctor_host
from drorch.app.doctor import Answer, Check, Finding, Verdict, examine, exit_code, ok
from drorch.app.secret import SecretRef
from drorch.domain.errors import NotFound, Refused, Unavailable
from drorch.stores.memory import MemoryStore

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
SHORT = timedelta(seconds=0.3)


def verdicts(*answers: Answer) -> tuple[Finding, ...]:
    return examine([Check("area", str(number), lambda a=answer: a) for number, answer in enumerate(answers)])


@pytest.fixture
def never() -> Iterator[threading.Event]:
    """What a check may wait for that hangs; released at the end, so that no thread outlives its test."""
    event = threading.Event()
    yield event
    event.set()


# --- asking


def test_findings_come_in_the_order_of_the_checks() -> None:
    def slow() -> Answer:
        time.sleep(0.05)
        return ok("slow")

    found = examine([Check("a", "1", slow), Check("a", "2", lambda: ok("quick"))])
    assert [(finding.subject, finding.answer.said) for finding in found] == [("1", "slow"), ("2", "quick")]


def test_what_hangs_holds_nothing_up(never: threading.Event) -> None:
    def hangs() -> Answer:
        never.wait()
        return ok()

    began = time.monotonic()
    found = examine(
        [*(Check("a", "dead", hangs) for _ in range(3)), Check("a", "alive", lambda: ok("here"))],
        patience=SHORT,
        at_once=2,
    )
    assert time.monotonic() - began < 5
    assert [finding.answer.verdict for finding in found] == [Verdict.UNKNOWN] * 3 + [Verdict.OK]
    assert "no answer within" in found[0].answer.said


def test_at_most_so_many_are_asked_side_by_side() -> None:
    lock, now, most = threading.Lock(), [0], [0]

    def counted() -> Answer:
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        time.sleep(0.01)
        with lock:
            now[0] -= 1
        return ok()

    examine([Check("a", str(number), counted) for number in range(20)], at_once=3)
    assert most[0] == 3


def test_a_refusal_fails_and_no_answer_is_not_known_and_a_fault_takes_nobody_along() -> None:
    def refuses() -> Answer:
        raise Refused("no", cause="the reason", hint="do this")

    def unavailable() -> Answer:
        raise Unavailable("nobody there")

    def breaks() -> Answer:
        raise KeyError("x")

    found = examine([Check("a", "", ask) for ask in (refuses, unavailable, breaks)])
    assert [finding.answer.verdict for finding in found] == [Verdict.FAILED, Verdict.UNKNOWN, Verdict.UNKNOWN]
    assert found[0].answer == Answer(Verdict.FAILED, "no: the reason", "do this")
    assert "a fault in drorch itself: KeyError" in found[2].answer.said


def test_failures_outweigh_what_is_not_known_and_warnings_change_nothing() -> None:
    unknown, failed, warning = (Answer(v) for v in (Verdict.UNKNOWN, Verdict.FAILED, Verdict.WARNING))
    assert exit_code(verdicts(ok(), warning)) == 0
    assert exit_code(verdicts(ok(), unknown)) == 4
    assert exit_code(verdicts(unknown, failed)) == 3
    assert exit_code(()) == 0


# --- this host


def test_a_secret_must_be_private_and_is_never_shown(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text("hush-hush")
    path.chmod(0o600)
    answer = doctor_host.secret(SecretRef(file=str(path)), {})
    assert answer.verdict is Verdict.OK
    assert "hush" not in answer.said
    path.chmod(0o640)
    with pytest.raises(Refused, match="readable by group"):
        doctor_host.secret(SecretRef(file=str(path)), {})
    with pytest.raises(NotFound):
        doctor_host.secret(SecretRef(file=str(tmp_path / "none")), {})


def test_a_credential_of_the_service_cannot_be_checked_from_outside() -> None:
    assert doctor_host.secret(SecretRef(systemd="signing-key"), {}).verdict is Verdict.UNKNOWN


@pytest.mark.parametrize(
    ("off", "verdict"),
    [
        (0, Verdict.OK),
        (-0.9, Verdict.OK),
        (20, Verdict.OK),
        (-60, Verdict.WARNING),
        (60, Verdict.WARNING),
        (-400, Verdict.FAILED),
        (400, Verdict.FAILED),
    ],
)
def test_clocks_that_differ_by_more_than_deletion_bears_fail(off: float, verdict: Verdict) -> None:
    assert doctor_host.clock(lambda: NOON, lambda: NOON + timedelta(seconds=off)).verdict is verdict


def test_a_slow_answer_is_no_clock_that_is_wrong() -> None:
    instants = iter([NOON, NOON + timedelta(minutes=10)])
    answer = doctor_host.clock(lambda: next(instants), lambda: NOON + timedelta(minutes=4))
    assert answer.verdict is Verdict.OK


def test_a_vault_without_a_mark_says_how_it_gets_one() -> None:
    store = MemoryStore()
    assert doctor_host.vault(store, lambda _: False) == Answer(
        Verdict.FAILED, "nobody has marked it", f"drorch vault init {store.vault}"
    )
    assert "vault check" in doctor_host.vault(store, lambda _: True).said


def test_the_service_may_write_into_a_vault_of_folders_only_where_it_is_told() -> None:
    strict = {"ProtectSystem": "strict", "ReadWritePaths": "-/mnt/dr /var/other"}
    assert doctor_host.writable("/mnt/dr/nas", strict).verdict is Verdict.OK
    assert doctor_host.writable("/mnt/else", strict).verdict is Verdict.FAILED
    assert doctor_host.writable("/mnt/else", {}).verdict is Verdict.OK


def test_a_granted_path_must_be_there_and_in_sight_of_the_service(tmp_path: Path) -> None:
    assert doctor_host.readable(str(tmp_path), {}).verdict is Verdict.OK
    assert doctor_host.readable(str(tmp_path / "none"), {}).verdict is Verdict.FAILED
    assert doctor_host.readable("/home/shop", {"ProtectHome": "yes"}).verdict is Verdict.FAILED
    seen = {"ProtectHome": "tmpfs", "BindReadOnlyPaths": str(tmp_path)}
    assert doctor_host.readable(str(tmp_path), seen).verdict is Verdict.OK
    hidden = {"InaccessiblePaths": f"-/etc/shadow -{tmp_path.parent}"}
    assert doctor_host.readable(str(tmp_path), hidden).verdict is Verdict.FAILED
