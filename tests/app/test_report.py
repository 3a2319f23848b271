"""The stable JSON of status, plan and points: whole seconds, null for what is not known, never 0."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta

import pytest
from passes import AWAY, DOMAINS, HOME, NOW, OFF, copy, drilled, hours, native_copy, planned, point, policy, resource

from drorch.app.passing import ApplicationPlan
from drorch.app.report import plan_json, points_json, seconds, status_json
from drorch.domain.action import Braked, Cut, Expire, Hold, Keep, Mark, deletions_digest, digest_of
from drorch.domain.automated import Automated, Replica, Replicated
from drorch.domain.catalogue import Catalogue
from drorch.domain.model import Copy, CopyState, FailureLevel, LockMode
from drorch.domain.policy import Objective

POINT = point("p-data", "data", NOW - hours(1.5), native_copy(HOME), native_copy(AWAY))
DUMP = point("p-orders", "orders", NOW - hours(1), Copy(OFF, CopyState.USABLE, path="x/", bytes=7), kind="postgres")


def shown(plan: ApplicationPlan, **more: object) -> dict:  # type: ignore[type-arg]
    document = status_json(NOW, {"shop": plan}, **more)  # type: ignore[arg-type]
    assert json.loads(json.dumps(document)) == document
    return document


def test_status_has_the_fields_of_the_contract() -> None:
    plan = planned(catalogue=Catalogue("shop", (POINT, DUMP), (drilled(NOW - hours(2), total=90),)))
    document = shown(plan)
    assert document["at"] == "2026-11-20T09:30:00Z"
    (application,) = document["applications"]
    assert set(application) == {"application", "policy_valid", "levels", "datasets", "resources", "unkept"}
    assert set(application["levels"]) == {"zone", "region", "account", "provider", "tampering"}
    assert application["levels"]["region"] == {
        "rpo_objective_s": 9 * 3600,
        "rpo_attained_s": 5400,
        "rpo_verified_s": None,
        "rto_objective_s": 2 * 3600,
        "rto_attained_s": None,
        "rto_basis": "data: no drill of it has been made",
        "rto_breaks_at": None,
        "rpo_met": True,
        "rto_met": None,
        "why": f"data: newest usable copy in {AWAY}",
    }
    data, orders = application["datasets"]
    assert (data["dataset"], data["resources"], data["exempt"]) == ("data", ["data"], {"provider": "runbook 12"})
    assert data["levels"]["provider"]["rpo_objective_s"] is None
    assert orders["levels"]["region"]["rto_attained_s"] == 90
    assert orders["levels"]["region"]["rto_met"] is True
    first, _ = application["resources"]
    assert (first["resource"], first["kind"], first["newest_cut_at"]) == ("data", "ebs", "2026-11-20T08:00:00Z")
    assert first["levels"]["zone"]["rpo_attained_s"] == 5400


def test_what_rds_keeps_by_itself_is_one_more_field_that_counts_for_nothing() -> None:
    kept = Automated(
        7,
        NOW - hours(1),
        True,
        (Replicated("us-west-2", "retained", 14, NOW - hours(9), "it has stopped"),),
        (Replica("shop-r", "eu-west-1", unseen="denied"),),
    )
    (application,) = shown(planned(), automated={("shop", "data"): kept})["applications"]
    data, orders = application["resources"]
    assert data["automated"] == {
        "counts": False,
        "unseen": None,
        "retention_days": 7,
        "latest_restorable_at": "2026-11-20T08:30:00Z",
        "deletion_protection": True,
        "replicated": [
            {
                "region": "us-west-2",
                "status": "retained",
                "retention_days": 14,
                "latest_restorable_at": "2026-11-20T00:30:00Z",
                "wrong": "it has stopped",
                "unseen": None,
            }
        ],
        "replicas": [{"id": "shop-r", "region": "eu-west-1", "status": None, "wrong": None, "unseen": "denied"}],
    }
    assert orders["automated"] is None
    assert data["levels"]["region"]["rpo_attained_s"] is None
    (blind,) = shown(planned(), automated={("shop", "data"): Automated(unseen="denied")})["applications"]
    assert blind["resources"][0]["automated"] == {"counts": False, "unseen": "denied"}


def test_without_points_everything_is_null_and_the_promise_is_missed() -> None:
    (application,) = shown(planned())["applications"]
    for level in application["levels"].values():
        assert level["rpo_attained_s"] is level["rpo_verified_s"] is level["rto_attained_s"] is None
    assert application["levels"]["region"]["rpo_met"] is False
    assert application["levels"]["zone"]["rpo_met"] is None
    assert application["resources"][0]["newest_cut_at"] is None


def test_what_could_not_be_read_yet_is_not_a_miss() -> None:
    (application,) = shown(planned(never_read=frozenset({HOME, AWAY, OFF})))["applications"]
    assert application["levels"]["region"]["rpo_met"] is None
    assert "could not be read yet" in application["levels"]["region"]["why"]


def test_a_policy_that_never_was_valid_is_named_and_an_old_text_is_marked() -> None:
    plan = planned()
    stale = replace(plan, status=replace(plan.status, policy_valid=False))
    first, second = shown(stale, invalid=["blog", "shop"])["applications"]
    assert (first["application"], first["policy_valid"]) == ("shop", False)
    assert second == {
        "application": "blog",
        "policy_valid": False,
        "levels": {},
        "datasets": [],
        "resources": [],
        "unkept": [],
    }


@pytest.mark.parametrize(
    ("span", "whole"),
    [(None, None), (timedelta(), 0), (timedelta(seconds=3600), 3600), (timedelta(seconds=3600, microseconds=1), 3601)],
)
def test_spans_are_whole_seconds_rounded_up(span: timedelta | None, whole: int | None) -> None:
    assert seconds(span) == whole


def test_a_miss_by_less_than_a_second_does_not_read_as_met() -> None:
    promised = resource("data", "ebs", objectives={FailureLevel.ZONE: Objective(rpo=hours(1))}, exempt={})
    cut_at = NOW - hours(1) - timedelta(milliseconds=1)
    late = Catalogue("shop", (point("p", "data", cut_at, native_copy(HOME)),))
    (application,) = shown(planned(policy(resources=[promised]), late))["applications"]
    zone = application["levels"]["zone"]
    assert zone["rpo_met"] is False
    assert zone["rpo_attained_s"] > zone["rpo_objective_s"]


def test_plan_shows_every_decision_and_the_digest_of_the_deletions_only() -> None:
    expire = [Expire("shop", "data", HOME, f"p{i}", "older") for i in (2, 1)]
    keep = Keep("shop", "data", HOME, "p9", "last 3")
    cut = Cut("shop", "orders", "", "p5", "due", "2026-11-20T09:00Z", 1, (OFF,), "db:5432")
    hold = Hold("shop", "data", HOME, "", "gone", "member-gone")
    document = plan_json(NOW, {"shop": planned(actions=[*expire, keep, cut]), "blog": planned(actions=[hold])})
    assert json.loads(json.dumps(document)) == document
    assert document["at"] == "2026-11-20T09:30:00Z"
    assert document["digest"] == deletions_digest(reversed(expire)) != deletions_digest([])
    actions = document["actions"]
    assert isinstance(actions, list)
    assert [action["action"] for action in actions] == ["expire", "expire", "keep", "cut", "hold"]
    assert actions[3] == {
        "action": "cut",
        "application": "shop",
        "resource": "orders",
        "vault": "",
        "point": "p5",
        "reason": "due",
        "slot": "2026-11-20T09:00Z",
        "attempt": 1,
        "into": ["gcs-eu"],
        "server": "db:5432",
        "resumed": False,
    }


def test_a_plan_without_deletions_has_the_digest_of_none() -> None:
    assert plan_json(NOW, {"shop": planned(actions=[copy()])})["digest"] == deletions_digest([])


def test_points_say_where_every_copy_lies() -> None:
    verified = replace(DUMP, copies=(replace(DUMP.copies[0], verified_at=NOW),), pinned=True, note="before 2.0")
    document = points_json([verified, POINT], DOMAINS)
    assert json.loads(json.dumps(document)) == document
    first, second = document["points"]  # type: ignore[misc]
    assert first == {
        "id": "p-orders",
        "application": "shop",
        "resource": "orders",
        "kind": "postgres",
        "slot": "2026-11-20T08:00Z",
        "cut_at": "2026-11-20T08:30:00Z",
        "pinned": True,
        "note": "before 2.0",
        "suspect": None,
        "partial": None,
        "copies": [
            {
                "vault": "gcs-eu",
                "state": "usable",
                "why": None,
                "provider": "gcp",
                "account": None,
                "region": "europe-west1",
                "members": [],
                "path": "x/",
                "bytes": 7,
                "locked_until": None,
                "verified_at": "2026-11-20T09:30:00Z",
            }
        ],
    }
    home = second["copies"][0]
    assert (home["account"], home["region"], home["path"], home["bytes"]) == ("prod", "us-east-1", None, 8 << 30)
    member = {"native_id": f"snap-{HOME}", "role": "snapshot", "source_id": "vol-1", "bytes": 8 << 30}
    assert home["members"] == [member]


def test_what_a_point_does_not_know_is_null() -> None:
    strange = replace(POINT, cut_at=None, copies=(Copy("old-vault", CopyState.UNSIGNED),))
    (shown_point,) = points_json([strange], DOMAINS)["points"]  # type: ignore[misc]
    assert shown_point["cut_at"] is shown_point["note"] is None
    (only,) = shown_point["copies"]
    assert only["state"] == "unsigned"
    assert [only[key] for key in ("provider", "account", "region", "path", "bytes", "verified_at")] == [None] * 6


def test_points_say_what_is_suspect_expiring_and_locked() -> None:
    held = replace(
        DUMP.copies[0],
        state=CopyState.EXPIRING,
        locked_until=NOW + timedelta(days=35),
        lock_mode=LockMode.COMPLIANCE,
        expiring_since=NOW,
    )
    (shown_point,) = points_json([replace(DUMP, suspect="3 of 9 tables are gone", copies=(held,))], DOMAINS)["points"]  # type: ignore[misc]
    assert shown_point["suspect"] == "3 of 9 tables are gone"
    (only,) = shown_point["copies"]
    assert (only["state"], only["locked_until"]) == ("expiring", "2026-12-25T09:30:00Z")


def test_the_digest_covers_what_begins_to_expire_what_is_deleted_and_what_the_brake_holds() -> None:
    marks = [Mark("shop", "data", HOME, "p1", "no rule", "expiring"), Mark("shop", "data", HOME, "p9", "kept", "kept")]
    expire, braked = Expire("shop", "data", HOME, "p2", "older"), Braked("shop", "data", AWAY, "p3", "too many")
    document = plan_json(NOW, {"shop": planned(actions=[*marks, expire, braked])})
    assert document["digest"] == digest_of([(HOME, "p1"), (HOME, "p2"), (AWAY, "p3")])
