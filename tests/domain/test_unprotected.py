"""What no policy protects: which places are looked at, what covers a source, what a reason excuses."""

from __future__ import annotations

import pytest
from passes import NOW, policy, resource
from policy_words import read
from pydantic import ValidationError

from drorch.domain.ignore import Ignore
from drorch.domain.model import FailureDomain
from drorch.domain.native import Source
from drorch.domain.plan import SourcesSeen
from drorch.domain.policy import Policy, ResourcePolicy, Retired
from drorch.domain.unprotected import KINDS, Protection, judge_places, places_of, protection

VOLUMES = ("ebs", "prod", "us-east-1")
IMAGES = ("ami", "prod", "us-east-1")
SCRATCH = Ignore(kind="ebs", tags={"role": "scratch"}, reason="made anew by the build")


def bare(*sources: Source, ids: dict[tuple[str, str, str], frozenset[str]] | None = None) -> list[str]:
    seen = judge_places({VOLUMES: sources}, Protection(ids or {}), [SCRATCH])
    return [source.source_id for source in seen.found[VOLUMES]]


def test_homes_and_copies_are_looked_at_with_every_kind_and_other_providers_are_not() -> None:
    off = resource("off", "postgres", home=FailureDomain("onprem", "office"))
    found = places_of([policy("shop", [resource("data", "ebs"), resource("orders", "postgres"), off])])
    assert found == tuple((kind, "prod", region) for region in ("us-east-1", "us-west-2") for kind in KINDS)


def test_ten_thousand_applications_name_no_more_places_than_one() -> None:
    one = policy()
    assert places_of([one] * 10_000) == places_of([one])


def test_what_a_resource_selects_is_protected_and_what_hangs_on_an_instance_of_an_image_is_too() -> None:
    selected = {VOLUMES: frozenset({"vol-1"}), IMAGES: frozenset({"i-1"})}
    sources = [Source("vol-1"), Source("vol-2", instance="i-1"), Source("vol-3", instance="i-2"), Source("vol-4")]
    assert bare(*sources, ids=selected) == ["vol-3", "vol-4"]


def test_an_instance_of_the_same_name_does_not_protect_a_cluster() -> None:
    selected = {("rds-instance", "prod", "us-east-1"): frozenset({"shop"})}
    place = ("rds-cluster", "prod", "us-east-1")
    seen = judge_places({place: (Source("shop"),)}, Protection(selected), [])
    assert [s.source_id for s in seen.found[place]] == ["shop"]


def test_what_is_ignored_is_told_with_its_reason_and_what_a_drill_made_is_not_missed() -> None:
    sources = (Source("vol-1", tags={"role": "scratch"}), Source("vol-2", tags={"drorch:drill": "d"}), Source("vol-3"))
    seen = judge_places({VOLUMES: sources}, Protection(), [SCRATCH])
    assert [(i.source.source_id, i.reason) for i in seen.ignored] == [("vol-1", "made anew by the build")]
    assert [s.source_id for s in seen.found[VOLUMES]] == ["vol-3"]


@pytest.mark.parametrize(
    ("entry", "covered"),
    [
        ({"tags": {"role": "scratch"}}, True),
        ({"tags": {"role": "scratch", "app": "shop"}}, False),
        ({"id": "vol-1"}, True),
        ({"id": "vol-10"}, False),
        ({"id": "vol-1", "account": "prod", "region": "us-east-1"}, True),
        ({"id": "vol-1", "account": "other"}, False),
        ({"id": "vol-1", "region": "us-west-2"}, False),
    ],
)
def test_an_entry_covers_what_it_says_and_no_more(entry: dict[str, object], covered: bool) -> None:
    ignore = Ignore(kind="ebs", reason="r", **entry)  # type: ignore[arg-type]
    source = Source("vol-1", tags={"role": "scratch", "Name": "x"})
    assert ignore.covers(*VOLUMES, source) is covered
    assert not ignore.covers("rds-instance", "prod", "us-east-1", source)


def test_nobody_calls_unprotected_what_could_not_be_seen() -> None:
    """Neither where the listing failed nor where it is not known what a resource selects."""
    blind = Protection(blind={VOLUMES: "what shop/data selects could not be seen: timeout"})
    seen = judge_places({VOLUMES: (Source("vol-1"),), ("ebs", "prod", "eu-west-1"): "denied"}, blind, [])
    assert seen.found == {}
    assert seen.unseen == {VOLUMES: blind.blind[VOLUMES], ("ebs", "prod", "eu-west-1"): "denied"}
    images = judge_places({VOLUMES: (Source("vol-1"),)}, Protection(blind={IMAGES: "timeout"}), [])
    assert images.unseen == {VOLUMES: "timeout"}


def test_an_application_that_has_left_protects_nothing() -> None:
    def selected(_of: ResourcePolicy) -> SourcesSeen:
        return SourcesSeen((Source("vol-1"),))

    def ids(of: Policy) -> object:
        return protection([of], selected, NOW).ids

    here = policy("shop", [resource("data", "ebs")])
    assert ids(here) == {VOLUMES: frozenset({"vol-1"})}
    assert ids(here.model_copy(update={"retired": Retired(since=NOW, reason="sold")})) == {}


# --- as a policy says it ----------------------------------------------------------------------------------------------

POLICY = """
    version: 1
    application: shop
    owner: payments@example.com
    home: {account: prod, region: us-east-1}
    ignore:
      - {kind: ebs, tags: {role: scratch}, reason: made anew by the build}
    resources:
      - name: data
        kind: ebs
        select: {tags: {app: shop}}
        schedule: {every: 1d}
        copies: [{region: us-west-2}]
        keep: {last: 3}
"""
ENTRY = "{kind: ebs, tags: {role: scratch}, reason: made anew by the build}"


def test_an_entry_of_a_policy_is_of_the_applications_home_unless_it_says_another_place() -> None:
    made, _ = read(POLICY)
    assert made is not None
    assert [(e.account, e.region, e.reason) for e in made.ignore] == [("prod", "us-east-1", "made anew by the build")]
    made, _ = read(POLICY.replace("kind: ebs, tags", "kind: ebs, region: us-west-2, tags"))
    assert made is not None and made.ignore[0].region == "us-west-2"


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("{kind: ebs, tags: {role: scratch}}", "reason is missing"),
        ("{kind: ebs, tags: {role: scratch}, reason: ' '}", "must not be empty"),
        ("{kind: ebs, reason: r}", "needs either tags or id"),
        ("{kind: ebs, id: vol-1, tags: {a: b}, reason: r}", "needs either tags or id"),
        ("{kind: ebs, tags: {}, reason: r}", "must not be empty"),
        ("{kind: volume, id: vol-1, reason: r}", "must be one of ebs, rds-instance, rds-cluster"),
        ("{kind: ebs, id: vol-1, account: nobody, reason: r}", "unknown account nobody"),
        ("{kind: ebs, id: vol-1, region: us-nowhere-1, reason: r}", "unknown region us-nowhere-1"),
        ("{kind: ebs, id: vol-1, reason: r, until: tomorrow}", "unknown key until"),
    ],
)
def test_an_entry_without_a_reason_or_a_meaning_is_refused(entry: str, message: str) -> None:
    made, findings = read(POLICY.replace(ENTRY, entry))
    assert made is None
    assert any(message in str(finding) for finding in findings), findings


def test_an_application_at_home_elsewhere_says_where_what_it_ignores_lies() -> None:
    text = """
    version: 1
    application: shop
    owner: payments@example.com
    home: {provider: onprem, region: office}
    ignore:
      - {kind: ebs, id: vol-1, reason: r}
    resources:
      - {name: orders, kind: postgres, connection: {host: db}, schedule: {every: 1d}, vaults: [gcs-eu], keep: {last: 3}}
    """
    made, findings = read(text)
    assert made is None
    assert ["needs account and region" in str(finding) for finding in findings] == [True]
    made, _ = read(text.replace("id: vol-1", "account: prod, region: us-east-1, id: vol-1"))
    assert made is not None


def test_an_entry_says_one_thing() -> None:
    with pytest.raises(ValidationError, match="needs either tags or id"):
        Ignore(kind="ebs", reason="r")
