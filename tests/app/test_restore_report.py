"""Reports of restores: what break glass leaves in a vault, what a file says, and that neither stands in the way."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from faults import FaultyStore
from manual_clock import ManualClock

from drorch.app.evidence import gather
from drorch.app.evidence_page import evidence_page
from drorch.app.reading import TrustedKey
from drorch.app.restore import RestoreReport, RestoreRequest
from drorch.app.restore_report import ReportFiles, UnsignedReports, read_report
from drorch.crypto.minisign import SecretKey
from drorch.domain import layout
from drorch.domain.errors import Damaged, Unavailable
from drorch.domain.evidence import evidence
from drorch.domain.evidence_hours import Period
from drorch.domain.recovery import Newer, Step
from drorch.ports import StoreLimits
from drorch.stores.memory import MemoryStore

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
CUT = NOON - timedelta(hours=3)
REPORT = RestoreReport(
    "shop",
    "orders",
    "p1",
    "gs://b",
    CUT,
    10800,
    4096,
    (Step("verify", "orders", "", took_s=1), Step("load", "orders", "table secrets", took_s=7)),
    (Newer("p2", NOON, "its manifest is not signed"),),
    ("table secrets has no transactions",),
)
REQUEST = RestoreRequest("shop", "postgresql://db2.internal/orders", note="before 4.2")


class Desk:
    def __init__(self, folder: Path) -> None:
        self.clock = ManualClock(NOON)
        self.stores = {
            name: FaultyStore(MemoryStore(name, now=self.clock.now, limits=StoreLimits(part_bytes=1 << 20)))
            for name in ("gs://b", "file:///stick")
        }
        self.told: list[str] = []
        self.missed: list[str] = []
        self.files = ReportFiles((folder / "r.json", folder / "r.txt"), self.missed.append)
        self.reports = UnsignedReports(
            book=lambda: pytest.fail("there is no key"),
            vaults=tuple(self.stores),
            clock=self.clock,
            by="ann",
            missed=self.missed.append,
            local=self.files.add,
            stores=self.stores,
            left=self.told.append,
        )

    def restore(self, run: Callable[[], RestoreReport] = lambda: REPORT) -> RestoreReport:
        return self.reports.told(REQUEST, run)

    def paths(self, vault: str) -> list[str]:
        return [info.path for info in self.stores[vault].inner.list(layout.REPORTS)]


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def test_a_restore_under_break_glass_leaves_a_report_in_every_vault_that_was_named(desk: Desk) -> None:
    assert desk.restore() == REPORT
    (path,) = desk.paths("gs://b")
    assert desk.paths("file:///stick") == [path]
    said = read_report(desk.stores["gs://b"], path)
    assert (said["type"], said["outcome"], said["point"], said["by"]) == ("report", "done", "p1", "ann")
    assert (said["cut_at"], said["data_loss_s"], said["steps"]) == (
        "2026-11-20T09:00:00Z",
        10800,
        {"verify": 1, "load": 7},
    )
    assert desk.told == [f"{path} in gs://b", f"{path} in file:///stick"]
    assert desk.missed == []


def test_no_name_of_a_server_or_a_table_goes_into_a_vault(desk: Desk) -> None:
    desk.restore()
    with pytest.raises(Damaged):
        desk.restore(lambda: (_ for _ in ()).throw(Damaged("it is not as counted", cause="secrets: 3 of 4 rows")))
    bodies = [b"".join(desk.stores["gs://b"].read(path)) for path in desk.paths("gs://b")]
    assert len(bodies) == 2
    assert not [body for body in bodies if b"db2" in body or b"secrets" in body]


def test_a_restore_that_failed_is_reported_too(desk: Desk, tmp_path: Path) -> None:
    with pytest.raises(Unavailable):
        desk.restore(lambda: (_ for _ in ()).throw(Unavailable("the vault went away")))
    (path,) = desk.paths("gs://b")
    said = read_report(desk.stores["gs://b"], path)
    assert (said["outcome"], said["why"]) == ("failed", "the vault went away")
    assert "failed: the vault went away" in (tmp_path / "r.txt").read_text()


def test_a_vault_that_takes_nothing_is_told_and_the_restore_stands(desk: Desk) -> None:
    desk.stores["gs://b"].faults.order("put", "before", times=10)
    assert desk.restore() == REPORT
    assert desk.paths("gs://b") == []
    assert len(desk.paths("file:///stick")) == 1
    (why,) = desk.missed
    assert why.startswith("gs://b did not take it: ")


def test_nothing_is_written_over(desk: Desk) -> None:
    desk.restore()
    (path,) = desk.paths("gs://b")
    before = b"".join(desk.stores["gs://b"].read(path))
    desk.restore()
    assert desk.paths("gs://b") == [path]
    assert b"".join(desk.stores["gs://b"].read(path)) == before
    desk.clock.turn(seconds=2)
    desk.restore()
    assert len(desk.paths("gs://b")) == 2


def test_files_hold_all_of_it_in_both_forms(desk: Desk, tmp_path: Path) -> None:
    desk.restore()
    (told,) = json.loads((tmp_path / "r.json").read_text())["restores"]
    assert (told["resource"], told["cut_at"], told["notes"]) == ("orders", "2026-11-20T09:00:00Z", list(REPORT.notes))
    text = (tmp_path / "r.txt").read_text()
    for part in ("shop/orders: done", "point p1 from gs://b", "10800 s", "load: 7 s", "p2 is newer", "table secrets"):
        assert part in text


def test_a_file_that_cannot_be_written_is_refused_before_anything_is_restored(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="cannot be written"):
        ReportFiles((tmp_path / "nowhere" / "r.txt",), pytest.fail).require()
    with pytest.raises(Unavailable, match="cannot be written"):
        ReportFiles((tmp_path,), pytest.fail).require()
    ReportFiles((tmp_path / "r.txt",), pytest.fail).require()


def test_evidence_lists_such_reports_apart_whatever_they_say(desk: Desk) -> None:
    desk.restore()
    store = desk.stores["gs://b"].inner
    store.put(f"{layout.REPORTS}202611/20261120T130000Z-restore-0000000000000000.json", b"<script>")
    store.put(f"{layout.REPORTS}202611/20261120T140000Z-restore-1111111111111111.json", b'{"outcome":["<b>"]}\n')
    store.put(f"{layout.REPORTS}202511/20251120T140000Z-restore-2222222222222222.json", b"{}\n")
    now = NOON + timedelta(days=2)
    period = Period(NOON - timedelta(days=1), now)
    key = SecretKey.generate()
    document = evidence(gather({"gs://b": store}, [TrustedKey(key.public)], period, now), period, now)
    first, second, third = document["unsigned_reports"]
    assert (first["application"], first["resource"], first["outcome"], first["why"]) == ("shop", "orders", "done", None)
    assert second["why"]
    assert third["outcome"] is None
    assert (document["applications"], document["unsigned"], document["records"]) == ([], [], [])
    page = evidence_page(document, [], "1")
    assert "count for nothing on their own" in page
    assert "<script>" not in page
