"""Evidence out of vaults: what a lived week gives, that every line is vouched for, and what tampering does to it."""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from journals import DESK, Journalling
from worlds import EU, SITE, WEST, _twin_store

from drorch.app.evidence import gather
from drorch.app.evidence_page import evidence_page
from drorch.app.orders import Orders
from drorch.app.passing import Guards
from drorch.app.restore import RestoreReport, RestoreRequest
from drorch.app.restore_journal import RestoreJournal
from drorch.crypto.minisign import SecretKey
from drorch.domain import layout
from drorch.domain.errors import Damaged, NotFound
from drorch.domain.evidence import evidence
from drorch.domain.evidence_hours import Period
from drorch.domain.record import parse
from drorch.stores.memory import MemoryStore

DAYS = 3
BEGAN = datetime(2026, 11, 20, 12, tzinfo=UTC)
PERIOD = Period(datetime(2026, 11, 20, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC))
OUTAGE = (datetime(2026, 11, 22, 3, tzinfo=UTC), datetime(2026, 11, 22, 7, tzinfo=UTC))


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Journalling:
    """Three days of a pass each hour, four hours without any; a pin, a restore. Left as it is."""
    guards = Guards(grace=timedelta(hours=2), host="dr1")
    world = Journalling(tmp_path_factory.mktemp("lived"), DESK.replace("last: 3", "last: 1"), guards=guards)
    while world.clock.now() < BEGAN + timedelta(days=DAYS):
        if world.clock.now() == OUTAGE[0]:
            world.clock.present = OUTAGE[1]
        world.hours(1, passes=1)
    point = world.reconciler.look(fresh=True).plans["desk"].catalogue.points[0]
    person(world).pin(point, "the audit of 2026", None)
    restores = RestoreJournal(lambda: world.book, (WEST, EU), world.clock, "ann", missed=pytest.fail)
    report = RestoreReport("desk", "orders", point.id, WEST, point.cut_at or BEGAN, 60, 7, (), (), ())
    request = RestoreRequest("desk", "postgresql://db2.internal/orders_back", note="before 4.2")
    restores.told(request, lambda: report)
    with pytest.raises(Damaged):
        restores.told(request, lambda: (_ for _ in ()).throw(Damaged("it is not as counted", cause="a table's name")))
    world.clock.turn(hours=3)
    return world


def person(world: Journalling) -> Orders:
    return world.orders(by="ann")


@pytest.fixture
def vaults(lived: Journalling) -> dict[str, MemoryStore]:
    """Copies of its vaults, with which anything may be done."""
    return {name: _twin_store(lived.memory(name), lived.clock.now) for name in (WEST, EU)}


def body(store: MemoryStore, path: str) -> bytes:
    return store.objects[path][0]


def told(lived: Journalling, vaults: Any, *, now: datetime | None = None, period: Period = PERIOD) -> dict[str, Any]:
    now = now or lived.clock.now()
    return evidence(gather(vaults, lived.trusted, period, now, site=SITE), period, now)


def desk(document: dict[str, Any]) -> dict[str, Any]:
    (found,) = document["applications"]
    assert found["application"] == "desk"
    return dict(found)


def sources(document: object) -> Iterator[int]:
    """The numbers of the records that any line names."""
    if isinstance(document, dict):
        for name, value in document.items():
            yield from value if name == "sources" else sources(value)
    elif isinstance(document, list):
        for value in document:
            yield from sources(value)


# --- what it says --------------------------------------------------------------------------------------------------


def test_a_month_counts_its_hours_and_unknown_ones_are_not_met(lived: Journalling, vaults: Any) -> None:
    (month,) = desk(told(lived, vaults))["months"]
    assert month["month"] == "2026-11"
    before, outage, after = 12, 4, 24 * DAYS - 4
    ended = (lived.clock.now() - BEGAN - timedelta(days=DAYS)) // timedelta(hours=1) - 1
    assert month["hours"] == before + after + outage + ended
    assert month["hours_told"] == after - 1, "the hour under way when the last pass was made is on disk yet"
    region = month["levels"]["region"]["rpo"]
    assert (region["promised_s"], region["hours"]) == ([36 * 3600], month["hours"])
    assert region["met"] + region["missed"] == month["hours_told"]
    assert region["unknown"] == month["hours"] - month["hours_told"]
    assert region["missed"] >= 1, "in the first hour there was nothing yet"
    assert region["none"] == region["missed"]
    assert 24 * 3600 <= region["worst_s"] < 27 * 3600
    assert month["levels"]["provider"]["rto"]["met"] > 0
    assert month["done"]["cut"] == DAYS + 1


def test_days_add_up_to_their_month_and_gaps_are_named(lived: Journalling, vaults: Any) -> None:
    found = desk(told(lived, vaults))
    (month,) = found["months"]
    for what in ("met", "missed", "unknown", "hours"):
        days = [day["levels"]["region"]["rpo"][what] for day in found["days"] if "region" in day["levels"]]
        assert sum(days) == month["levels"]["region"]["rpo"][what], what
    assert {"from": "2026-11-22T03:00:00Z", "to": "2026-11-22T07:00:00Z", "hours": 4} in found["gaps"]
    assert found["gaps"][0] == {"from": "2026-11-20T00:00:00Z", "to": "2026-11-20T12:00:00Z", "hours": 12}
    assert sum(gap["hours"] for gap in found["gaps"]) == month["hours"] - month["hours_told"]


def test_points_drills_and_what_was_let_go_are_listed_with_their_reasons(lived: Journalling, vaults: Any) -> None:
    found = desk(told(lived, vaults))
    assert len(found["points"]) == DAYS + 1
    assert all(point["vaults"] == [EU, WEST] for point in found["points"])
    assert {drill["outcome"] for drill in found["drills"]} == {"passed"}
    assert all(drill["seconds"]["total"] >= 0 for drill in found["drills"])
    expired = [row for row in found["let_go"] if row["mark"] == "expired"]
    marked = {(row["vault"], row["point"]) for row in found["let_go"] if row["mark"] == "expiring"}
    assert expired
    assert {(row["vault"], row["point"]) for row in expired} <= marked
    assert all(row["reason"] for row in found["let_go"])
    (pin,) = found["pins"]
    assert (pin["mark"], pin["reason"], pin["by"], pin["until"]) == ("pin", "the audit of 2026", "ann", None)


def test_restores_say_who_what_and_how_it_ended_and_no_name_of_a_server_or_table(
    lived: Journalling, vaults: Any
) -> None:
    done, failed = desk(told(lived, vaults))["restores"]
    assert (done["by"], done["target"], done["outcome"], done["data_loss_s"]) == ("ann", "postgresql", "done", 60)
    assert done["point"] == desk(told(lived, vaults))["points"][-1]["point"]
    assert (failed["outcome"], failed["why"]) == ("failed", "it is not as counted")
    entries = [body(vaults[WEST], path) for path in vaults[WEST].objects if "-restore-" in path]
    assert len(entries) == 4
    assert not [entry for entry in entries if b"db2" in entry or b"table" in entry]


def test_every_line_names_records_and_every_record_can_be_checked(
    lived: Journalling, vaults: Any, tmp_path: Path
) -> None:
    document = told(lived, vaults)
    listed = {record["number"]: record for record in document["records"]}
    assert set(sources(document)) == set(listed)
    for record in listed.values():
        for vault in record["vaults"]:
            data = b"".join(vaults[vault].read(record["path"]))
            assert hashlib.sha256(data).hexdigest() == record["sha256"]
    some = next(record for record in listed.values() if "/journal/" in record["path"])
    (tmp_path / "r").write_bytes(b"".join(vaults[EU].read(some["path"])))
    (tmp_path / "r.minisig").write_bytes(b"".join(vaults[EU].read(some["path"] + ".minisig")))
    command = ["minisign", "-V", "-m", str(tmp_path / "r"), "-P", lived.key.public.text()]
    said = subprocess.run(command, capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stderr
    assert some["path"] in said.stdout


def test_a_vault_alone_gives_the_same_and_the_union_fills_what_one_lacks(lived: Journalling, vaults: Any) -> None:
    both = told(lived, vaults)
    alone = told(lived, {WEST: vaults[WEST]})
    assert desk(alone)["months"][0]["levels"] == desk(both)["months"][0]["levels"]
    (entry, *_) = [path for path in vaults[EU].objects if path.startswith(layout.JOURNAL)]
    vaults[EU].delete(entry)
    document = told(lived, vaults)
    assert desk(document)["months"][0]["levels"] == desk(both)["months"][0]["levels"]
    lacking = {vault["vault"]: vault["journal_missing"] for vault in document["vaults"]}
    assert lacking == {WEST: 0, EU: 1}


def test_a_vault_that_cannot_be_read_is_said_and_the_others_speak(lived: Journalling, vaults: Any) -> None:
    lived.faults(EU).black_hole()
    try:
        document = told(lived, {WEST: vaults[WEST], EU: lived.stores[EU]})
    finally:
        lived.faults(EU).recover()
    unread = {vault["vault"]: vault["unread"] for vault in document["vaults"]}
    assert unread[WEST] is None
    assert "black-holed" in unread[EU]
    assert desk(document)["months"][0]["hours_told"] > 0


def test_an_application_that_nothing_tells_of_is_no_quiet_answer(lived: Journalling, vaults: Any) -> None:
    with pytest.raises(NotFound, match="'dekk'") as error:
        gather(vaults, lived.trusted, PERIOD, lived.clock.now(), applications=["dekk"])
    assert error.value.hint == "there are: desk"


# --- tampering -----------------------------------------------------------------------------------------------------


def entry_in(vaults: Any, hour: str) -> str:
    paths = [path for path in vaults[EU].objects if path.startswith(layout.JOURNAL) and path.endswith(".json")]
    return next(path for path in paths if json.loads(body(vaults[EU], path)).get("hour") == hour)


def test_an_entry_that_was_changed_counts_for_nothing_and_is_named(lived: Journalling, vaults: Any) -> None:
    path = entry_in(vaults, "2026-11-20T12:00:00Z")
    before = desk(told(lived, vaults))["months"][0]["levels"]["region"]["rpo"]
    assert before["missed"] == 1
    for vault in (WEST, EU):
        data = body(vaults[vault], path)
        vaults[vault].delete(path)
        vaults[vault].put(path, data.replace(b'"rpo_met":false', b'"rpo_met":true'))
    document = told(lived, vaults)
    after = desk(document)["months"][0]["levels"]["region"]["rpo"]
    assert (after["met"], after["missed"]) == (before["met"], 0)
    assert after["unknown"] == before["unknown"] + 1
    assert {(one["vault"], one["path"]) for one in document["unsigned"]} == {(WEST, path), (EU, path)}
    assert "2026-11-20T13:00:00Z" in {gap["to"] for gap in desk(document)["gaps"]}


def test_an_entry_that_a_stranger_signed_counts_for_nothing(lived: Journalling, vaults: Any) -> None:
    path = entry_in(vaults, "2026-11-20T12:00:00Z")
    forged = parse(body(vaults[EU], path).replace(b'"rpo_met":false', b'"rpo_met":true'))
    stranger = SecretKey.generate()
    vaults[EU].put(forged.path, forged.data)
    vaults[EU].put(forged.path + layout.SIGNATURE, stranger.sign(forged.data, forged.comment))
    document = told(lived, vaults)
    assert [one["path"] for one in document["unsigned"]] == [forged.path]
    assert desk(document)["months"][0]["levels"]["region"]["rpo"]["missed"] == 1


def test_an_entry_that_was_taken_away_everywhere_is_a_gap_and_a_break(lived: Journalling, vaults: Any) -> None:
    whole = told(lived, vaults)
    assert whole["journal_breaks"] == []
    path = entry_in(vaults, "2026-11-21T12:00:00Z")
    for vault in vaults.values():
        vault.delete(path)
        vault.delete(path + layout.SIGNATURE)
    document = told(lived, vaults)
    (found,) = document["journal_breaks"]
    assert "lies in no vault" in found["what"]
    assert {"from": "2026-11-21T12:00:00Z", "to": "2026-11-21T13:00:00Z", "hours": 1} in desk(document)["gaps"]


def test_an_entry_moved_to_another_name_is_not_believed(lived: Journalling, vaults: Any) -> None:
    path = entry_in(vaults, "2026-11-21T12:00:00Z")
    moved = path.replace("T13", "T14")
    for suffix in ("", layout.SIGNATURE):
        vaults[EU].put(moved + suffix, body(vaults[EU], path + suffix))
    assert moved in {one["path"] for one in told(lived, vaults)["unsigned"]}


def test_where_versions_are_kept_an_entry_written_over_still_counts_and_is_told(
    lived: Journalling, vaults: Any
) -> None:
    versioned = MemoryStore(EU, now=lived.clock.now, versioned=True)
    for path in vaults[EU].objects:
        versioned.put(path, body(vaults[EU], path))
    path = entry_in(vaults, "2026-11-20T12:00:00Z")
    gone = entry_in(vaults, "2026-11-21T12:00:00Z")
    versioned.plant(path, b"{}")
    versioned.hide(gone)
    document = told(lived, {EU: versioned})
    assert {path, gone} <= {one["path"] for one in document["tampered"]}
    assert desk(document)["months"] == desk(told(lived, {EU: vaults[EU]}))["months"]


# --- the page ------------------------------------------------------------------------------------------------------


def test_the_page_stands_alone_and_escapes_what_records_say(lived: Journalling, vaults: Any) -> None:
    document = told(lived, vaults)
    desk(document)["pins"][0]["reason"] = "<script>alert(1)</script>"
    page = evidence_page(document, [lived.key.public.text()], "1.0")
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert not [word for word in ("src=", "href=", "url(", "@import", "<link") if word in page]
    assert all(record["sha256"] in page for record in document["records"])
    assert lived.key.public.text() in page
    assert page.count("<table>") == page.count("</table>")
