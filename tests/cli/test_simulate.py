"""What `simulate` shows: a table at 3 a.m., the stable fields for scripts, and exit codes for both."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from desks import HOME, Desk

from drorch.domain.instant import from_text

ID = r"[a-z2-7]{20}"
WHEN = r"\d{4}-\d\d-\d\d \d\d:\d\d"


def test_a_kept_promise_is_one_line_with_what_is_left_and_how_long_it_takes(lived: Desk) -> None:
    said = lived.drorch("simulate", "--lose", f"region:{HOME}")
    assert (said.code, said.err) == (0, "")
    first, *_, row, counts = said.out.rstrip().splitlines()
    assert re.fullmatch(rf"Lost: region:{HOME}, {WHEN} UTC", first)
    basis = r"drill of \d+ \w{3}, [\d.]+ KiB, from nas"
    assert re.fullmatch(rf"shop/orders +met +{WHEN} +\S+ +9h +\S+ +2h +point {ID} in nas; RTO: {basis}", row)
    assert counts == "1 dataset: 1 met"


def test_the_document_has_every_field_that_the_readme_names(lived: Desk) -> None:
    said = lived.drorch("simulate", "--lose", "region", "shop", "--json")
    assert (said.code, said.err) == (0, "")
    document = said.json
    assert set(document) == {"at", "lose", "verdicts", "applications", "invalid", "vaults"}
    assert (document["lose"], document["invalid"], document["verdicts"]["met"]) == (["region"], [], 1)
    (shop,) = document["applications"]
    assert {key: shop[key] for key in ("application", "policy_valid", "verdict")} == {
        "application": "shop",
        "policy_valid": True,
        "verdict": "met",
    }
    (dataset,), (resource,) = shop["datasets"], shop["resources"]
    age = from_text(document["at"]) - from_text(resource["data_as_of"])
    assert abs(dataset["data_loss_s"] - age.total_seconds()) <= 1
    assert dataset["recovery_s"] > 0
    assert (dataset["levels"], dataset["rpo_objective_s"], dataset["rto_objective_s"]) == (["region"], 32400, 7200)
    assert (dataset["rpo_met"], dataset["rto_met"], dataset["exempt"]) == (True, True, None)
    assert (resource["fate"], resource["lost"], resource["rto_basis"]) == ("lost", [], dataset["rto_basis"])
    (left,) = resource["left"]
    newest = lived.points()[0]
    assert left == {"vault": "nas", "point": newest["id"], "cut_at": newest["cut_at"], "recorded": False}
    assert resource["data_as_of"] == newest["cut_at"]
    assert document["vaults"]["nas"] | {"seen_at": ""} == {"seen_at": "", "asked": True, "why": None}


def test_a_broken_promise_is_exit_5_and_what_is_lost_is_not_opened(twin: Desk) -> None:
    shutil.rmtree(twin.nas)
    said = twin.drorch("simulate", "--lose", "provider:onprem", "--lose", "provider:aws")
    assert said.code == 5
    assert re.search(r"^shop/orders +MISSED +- +NOTHING LEFT +2d +- +- +no copy survives$", said.out, re.MULTILINE)
    assert said.out.endswith("1 dataset: 1 missed; nothing is left of 1\n")
    assert re.fullmatch(rf"not asked, provider:onprem is lost: nas \(as of {WHEN} UTC\)\n", said.err)
    assert not twin.nas.exists()


def test_broken_promises_come_first_and_what_is_untouched_in_one_line(twin: Desk) -> None:
    plain = {"drill": "", "connection": "{host: 127.0.0.1, database: animals, user: backup}"}
    office = plain | {"home": "home: {provider: onprem, region: office}", "vaults": "[nas]"}
    twin.write_policy("archive", objectives="objectives: {zone: {rpo: 1d}}", **office)
    twin.write_policy("zoo", objectives="objectives: {region: {rpo: 1h}}", schedule="{every: 30m}", **plain)
    said = twin.drorch("simulate", "--lose", "region:" + HOME)
    assert said.code == 5
    rows = [line.split()[:2] for line in said.out.splitlines() if "/" in line.split()[0]]
    assert rows == [["zoo/orders", "MISSED"], ["shop/orders", "met"]]
    assert said.out.splitlines()[-2:] == [
        "untouched, nothing of them lies there: archive/orders",
        "3 datasets: 1 missed, 1 met, 1 untouched; nothing is left of 1",
    ]
    both = twin.drorch("simulate", "archive", "--lose", "region:office", "--json").json
    assert both["applications"][0]["verdict"] == "no_promise"
    assert both["vaults"]["nas"]["asked"] is False


def test_a_home_that_stands_runs_on_without_its_copies(lived: Desk) -> None:
    said = lived.drorch("simulate", "--lose", "region:office")
    assert said.code == 0
    told = "runs on +- +nothing +- +- +- +its home stands; its copies in nas are lost; no copy survives"
    assert re.search(f"^shop/orders +{told}$", said.out, re.MULTILINE)


def test_offline_answers_from_what_was_seen_last_and_says_since_when(twin: Desk) -> None:
    shutil.rmtree(twin.nas)
    said = twin.drorch("simulate", "--lose", "account:prod", "--offline", "--json")
    assert said.code == 0
    assert re.fullmatch(rf"not asked, --offline: nas \(as of {WHEN} UTC\)\n", said.err)
    assert said.json["applications"][0]["resources"][0]["left"][0]["vault"] == "nas"
    assert said.json["vaults"]["nas"]["why"] == "--offline"


def test_without_anything_seen_it_is_not_known_and_not_missed(desk: Desk) -> None:
    said = desk.drorch("simulate", "--lose", "region", "--offline")
    assert said.code == 4
    assert re.search(r"^shop/orders +not known .* no usable copy in nas; nas was never read$", said.out, re.MULTILINE)
    assert said.err == "not asked, --offline: nas (never seen)\n"


def test_a_vault_that_does_not_answer_counts_by_its_last_known_state(twin: Desk) -> None:
    shutil.rmtree(twin.nas)
    said = twin.drorch("simulate", "--lose", "region")
    assert said.code == 0
    assert said.err.startswith("not read, ")
    assert "nas (as of " in said.err


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ((), 2, "--lose"),
        (("--lose", "us-east-1"), 2, "cannot be lost"),
        (("--lose", "region:us-esat-1"), 2, "nothing of these policies lives or lies in region:us-esat-1"),
        (("--lose", "tampering:prod"), 2, "tampering has no name"),
        (("--lose", "region", "blog"), 3, "there is no application 'blog'"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_is_looked_at(
    lived: Desk, arguments: tuple[str, ...], code: int, words: str
) -> None:
    said = lived.drorch("simulate", *arguments)
    assert (said.code, said.out) == (code, "")
    assert words in said.err


def test_an_application_whose_policy_never_was_valid_is_no_kept_promise(twin: Desk) -> None:
    twin.write_policy("billing", keep="{last: never}")
    said = twin.drorch("simulate", "--lose", "region", "--json")
    assert said.code == 3
    assert said.json["invalid"] == ["billing"]
    assert "billing.yaml:12:18" in said.err
    assert "billing" in twin.drorch("simulate", "--lose", "region").out
    assert twin.drorch("simulate", "--lose", "region", "shop").code == 0


def test_nothing_is_written(twin: Desk) -> None:
    def files(below: Path) -> list[str]:
        return sorted(str(path) for path in below.rglob("*"))

    before = files(twin.nas)
    assert twin.drorch("simulate", "--lose", "region").code == 0
    assert files(twin.nas) == before
