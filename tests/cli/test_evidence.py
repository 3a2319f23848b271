"""`evidence`: what it says of a real vault, with and without a configuration, and how it ends."""

from __future__ import annotations

import hashlib
import json
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from desks import Desk, typed

from drorch.domain.instant import from_text, to_text

TODAY = datetime.now(UTC)
PERIOD = ("--from", (TODAY - timedelta(days=1)).strftime("%Y-%m-%d"), "--to", TODAY.strftime("%Y-%m-%dT23:59:59Z"))


@pytest.fixture
def fresh(twin: Desk) -> Desk:
    """A lived installation, of whose restores by other tests nothing is told any more."""
    shutil.rmtree(twin.nas / "drorch/v1/journal", ignore_errors=True)
    return twin


@pytest.fixture
def told(fresh: Desk) -> Desk:
    """One that tried to restore into a server that is not there."""
    said = fresh.drorch("restore", "shop", "--into", "postgresql://127.0.0.1:1/nobody", "--yes")
    assert said.code == 4
    assert "journal" not in said.err
    return fresh


def journal(desk: Desk) -> list[Path]:
    return sorted((desk.nas / "drorch/v1/journal").glob("*/*.json"))


def test_the_configured_vaults_tell_of_points_drills_pins_and_restores(told: Desk) -> None:
    said = told.drorch("evidence", "shop", *PERIOD, "--json")
    assert said.code == 0, said.err
    document = said.json
    (shop,) = document["applications"]
    assert document["trusted"] == [told.signing.public.text()]
    assert len(shop["points"]) == 2
    assert [drill["outcome"] for drill in shop["drills"]] == ["passed"]
    (pin,) = shop["pins"]
    assert (pin["mark"], pin["reason"]) == ("pin", "für v2")
    (restore,) = shop["restores"]
    assert (restore["outcome"], restore["target"]) == ("failed", "postgresql")
    assert "nobody" not in journal(told)[0].read_text()
    (month, *_) = shop["months"]
    assert month["hours_told"] == 0, "its first hour is not over"
    assert shop["gaps"]


def test_an_hour_reaches_the_vaults_with_the_first_run_after_it(fresh: Desk) -> None:
    kept = fresh.state / "journal" / ".hour-0"
    body = json.loads(kept.read_text())
    ago = timedelta(hours=3)
    kept.write_text(json.dumps(body | {key: to_text(from_text(body[key]) - ago) for key in ("hour", "first", "last")}))
    said = fresh.drorch("run", "--once")
    assert "another drorch is at work" in said.err, "the one that it is a copy of; it tells what it sees all the same"
    (entry,) = journal(fresh)
    told = json.loads(entry.read_text())["applications"]["shop"]
    policy = (fresh.policies / "shop.yaml").read_bytes()
    assert told["policy"] == hashlib.sha256(policy).hexdigest()
    assert told["levels"]["region"]["rpo"] == 9 * 3600
    assert told["done"]["drill"] == 1
    said = fresh.drorch("evidence", "shop", *PERIOD, "--json")
    assert said.code == 0, said.err
    (shop,) = said.json["applications"]
    assert sum(month["hours_told"] for month in shop["months"]) == 1
    assert shop["policies"][0]["digest"] == told["policy"]
    assert not fresh.drorch("vault", "verify", "nas").code


def test_a_vault_and_a_key_are_enough(told: Desk, tmp_path: Path) -> None:
    where = ("--vault-url", f"file://{told.nas}", "--trust", told.signing.public.text())
    nowhere = tmp_path / "nowhere"
    nowhere.mkdir()
    said = typed("evidence", *PERIOD, *where, "--json", environ={"PATH": ""}, folder=nowhere)
    assert said.code == 0, said.err
    configured = told.drorch("evidence", *PERIOD, "--json").json
    assert said.json["applications"] == configured["applications"]
    assert [vault["vault"] for vault in said.json["vaults"]] == ["nas"]
    assert list(nowhere.iterdir()) == []


def test_people_get_a_table_and_a_page(told: Desk, tmp_path: Path) -> None:
    page = tmp_path / "november.html"
    said = told.drorch("evidence", *PERIOD, "--html", str(page))
    assert said.code == 0
    assert "points cut: 2, copies let go: 0, deletions held: 0, drills: 1 (0 failed), restores: 1" in said.out
    assert "nothing signed tells of" in said.err
    text = page.read_text()
    assert text.startswith("<!DOCTYPE html>")
    assert "für v2" in text


def test_one_changed_entry_is_named_and_ends_with_6(told: Desk) -> None:
    (entry,) = journal(told)
    body = json.loads(entry.read_text())
    entry.write_text(json.dumps({**body, "outcome": "done"}))
    said = told.drorch("evidence", *PERIOD, "--json")
    assert said.code == 6
    assert [one["path"] for one in said.json["unsigned"]] == [str(entry.relative_to(told.nas))]
    assert said.json["applications"][0]["restores"] == []


def test_a_vault_that_is_away_ends_with_4(told: Desk) -> None:
    told.nas.rename(told.folder / "elsewhere")
    said = told.drorch("evidence", *PERIOD, "--json")
    assert said.code == 4
    assert said.json["vaults"][0]["unread"]


@pytest.mark.parametrize(
    ("more", "code", "words"),
    [
        (("--from", "2026-11-01"), 2, "--to"),
        (("--from", "soon", "--to", "2026-11-30"), 2, "not a time"),
        (("--from", "2026-11-30", "--to", "2026-11-01"), 2, "--to lies before --from"),
        (
            ("--from", "2026-11-01", "--to", "2026-11-30", "--vault-url", "file:///nowhere"),
            2,
            "--vault-url needs --trust",
        ),
        (("nosuch", *PERIOD), 3, "no vault tells anything of application 'nosuch'"),
        ((*PERIOD, "--html", "/nowhere/page.html"), 4, "/nowhere/page.html cannot be written"),
    ],
)
def test_what_makes_no_sense_is_told(lived: Desk, more: tuple[str, ...], code: int, words: str) -> None:
    said = lived.drorch("evidence", *more)
    assert (said.code, said.out) == (code, "")
    assert words in said.err


def test_a_restore_by_a_host_that_cannot_sign_goes_on_and_says_so(fresh: Desk) -> None:
    (fresh.folder / "signing.key").unlink()
    fresh.write_config(signing=f'signing: {{key: {{file: signing.key}}, trusted: ["{fresh.signing.public.text()}"]}}')
    said = fresh.drorch("restore", "shop", "--into", "postgresql://127.0.0.1:1/nobody", "--yes")
    assert said.code == 4
    assert "this restore stands in no journal" in said.err
    assert journal(fresh) == []
