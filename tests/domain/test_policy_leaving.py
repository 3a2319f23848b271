"""How an application leaves, and how names change: `retired` and `formerly`, and every way of being wrong."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from policy_words import policy_of, read, words
from pydantic import TypeAdapter, ValidationError

from drorch.domain.moment import Moment, parse_moment
from drorch.domain.policy import Keep, Retired
from drorch.domain.policy_schema import json_schema

TOP = "version: 1\napplication: shop\nowner: me\nhome: {account: prod, region: us-east-1}\n"


def resource(name: str, more: str = "") -> str:
    """A dump of one line."""
    return (
        f"  - {{name: {name}, kind: postgres, connection: {{host: h}}, schedule: {{every: 1d}},"
        f" vaults: [s3-west], keep: {{last: 3}}{more}}}\n"
    )


def shop(top: str = "", *resources: str) -> str:
    """A policy with these lines at its top; line 5 is the first of them."""
    return f"{TOP}{top}resources:\n" + "".join(resources or (resource("orders"),))


def shown(text: str) -> list[str]:
    policy, findings = read(text)
    assert (policy is None) == bool(findings)
    return [str(finding).removeprefix("shop.yaml:") for finding in findings]


# --- retired -------------------------------------------------------------------------------------------------------


def test_an_application_leaves_with_a_date_a_reason_and_rules_of_its_own() -> None:
    text = "retired: {since: 2026-11-01, keep: {monthly: 12}, until: 2027-11-01T06:00+02:00, reason: sold}\n"
    assert policy_of(shop(text)).retired == Retired(
        since=datetime(2026, 11, 1, tzinfo=UTC),
        keep=Keep(monthly=12),
        until=datetime(2027, 11, 1, 4, tzinfo=UTC),
        reason="sold",
    )


def test_rules_and_end_may_be_left_out_and_who_stays_says_nothing() -> None:
    retired = policy_of(shop("retired: {since: 2026-11-01, reason: sold}\n")).retired
    assert retired is not None
    assert (retired.keep, retired.until) == (None, None)
    assert policy_of(shop()).retired is None


@pytest.mark.parametrize(
    ("retired", "line"),
    [
        ("{reason: sold}", "5:10: since is missing"),
        ("{since: 2026-11-01}", "5:10: reason is missing"),
        ("{since: 2026-11-01, reason: ' '}", "5:38: reason must not be empty"),
        ("{since: 2026-11-01, reason: 7}", "5:38: reason must be text, not a number (put it in quotes)"),
        ("{since: soon, reason: x}", "5:18: 'soon' is not a date (such as 2026-11-01 or 2026-11-01T06:00Z)"),
        (
            "{since: 2026-11-31, reason: x}",
            "5:18: '2026-11-31' is not a date (such as 2026-11-01 or 2026-11-01T06:00Z)",
        ),
        ("{since: 20261101, reason: x}", "5:18: since must be a date, not a number (such as 2026-11-01 or "),
        ("{since: 2026-11-01T06:00, reason: x}", "5:18: '2026-11-01T06:00' has no time zone (such as 2026-11-01 or "),
        ("{since: 2026-11-01, until: 2026-11-01, reason: x}", "5:37: until is not after since (until is when "),
        ("{since: 2026-11-01, until: 2026-10-01, reason: x}", "5:37: until is not after since (until is when "),
        ("{since: 2026-11-01, until: , reason: x}", "5:37: until must not be empty (give it a value, or leave "),
        ("{since: 2026-11-01, keep: , reason: x}", "5:36: keep must not be empty (give it a value, or leave "),
        ("{since: 2026-11-01, keep: {}, reason: x}", "5:36: keep keeps nothing (at least one of last, hourly, "),
        ("{since: 2026-11-01, keep: {daly: 3}, reason: x}", "5:37: unknown key daly (did you mean daily?)"),
        ("{since: 2026-11-01, reasn: x}", "5:30: unknown key reasn (did you mean reason?)"),
        ("", "5:9: retired must not be empty (give it a value, or leave the key out)"),
        ("true", "5:10: retired must be a mapping, not true or false"),
    ],
)
def test_what_is_wrong_with_leaving_is_said_with_its_place(retired: str, line: str) -> None:
    assert any(found.startswith(line) for found in shown(shop(f"retired: {retired}\n"))), shown(
        shop(f"retired: {retired}\n")
    )


def test_a_resource_does_not_retire_by_itself() -> None:
    found = shown(shop("", resource("orders", ", retired: {since: 2026-11-01, reason: x}")))
    assert found == ["6:118: retired is not for a resource (it stands at the top of the file)"]


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("2026-11-01", datetime(2026, 11, 1, tzinfo=UTC)),
        ("2026-11-01T23:30-01:00", datetime(2026, 11, 2, 0, 30, tzinfo=UTC)),
        ("2026-11-01T06:00Z", datetime(2026, 11, 1, 6, tzinfo=UTC)),
        (date(2026, 11, 1), datetime(2026, 11, 1, tzinfo=UTC)),
        (datetime(2026, 11, 1, 2, tzinfo=timezone(timedelta(hours=2))), datetime(2026, 11, 1, tzinfo=UTC)),
    ],
)
def test_a_moment_is_a_day_in_utc_or_a_time_with_its_zone(given: object, meant: datetime) -> None:
    moment = TypeAdapter(Moment).validate_python(given)
    assert (moment, moment.tzinfo) == (meant, UTC)


@pytest.mark.parametrize(
    "text", ["", "1", "2026", "20261101", "2026-W44-7", "2026-11-01T06:00", "0001-01-01T00:00+10:00"]
)
def test_what_is_no_moment_is_never_guessed(text: str) -> None:
    with pytest.raises(ValueError, match="2026-11-01T06:00Z"):
        parse_moment(text)
    with pytest.raises(ValidationError):
        TypeAdapter(Moment).validate_python(datetime(2026, 11, 1, tzinfo=UTC).replace(tzinfo=None))


# --- formerly ------------------------------------------------------------------------------------------------------


def test_former_names_of_the_application_and_of_a_resource_are_carried_on() -> None:
    policy = policy_of(shop("formerly: [store, kiosk]\n", resource("orders", ", formerly: [sales]"), resource("web")))
    assert policy.formerly == ("store", "kiosk")
    assert [entry.formerly for entry in policy.resources] == [("sales",), ()]


def test_a_resource_may_name_itself_its_source_was_replaced() -> None:
    (orders,) = policy_of(shop("", resource("orders", ", formerly: [orders, sales]"))).resources
    assert orders.formerly == ("orders", "sales")


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        (shop("formerly: [shop]\n"), ["5:12: application shop is called shop now (formerly has the names that "]),
        (shop("formerly: [a, a]\n"), ["5:15: former name a twice"]),
        (shop("formerly: store\n"), ["5:11: formerly must be a list, not text"]),
        (shop("formerly: [Store, a, a]\n"), ["5:12: 'Store' is not a name", "5:22: former name a twice"]),
        (shop("", resource("orders", ", formerly: [a, a]")), ["6:132: former name a twice"]),
        (shop("", resource("orders", ", formerly: [orders, orders]")), ["6:137: former name orders twice"]),
        (
            shop("", resource("orders", ", formerly: [a]"), resource("web", ", formerly: [b, a]")),
            ["7:129: former name a is claimed by resource orders too (one history is carried on by one resource)"],
        ),
        (
            shop("", resource("orders"), resource("web", ", formerly: [orders]")),
            ["7:126: orders is still a resource here (its history is its own)"],
        ),
    ],
)
def test_a_name_has_one_history_and_one_heir(text: str, lines: list[str]) -> None:
    found = shown(text)
    assert len(found) == len(lines), found
    for line, wanted in zip(found, lines, strict=True):
        assert line.startswith(wanted), found


def test_every_error_of_leaving_is_shown_at_once() -> None:
    text = "retired: {since: soon}\nformerly: [shop]\nreach_back: 3\n"
    found = shown(shop(text, resource("orders", ", formerly: [web]"), resource("web", ", floor: 0")))
    assert [line.split(": ")[0] for line in found] == ["5:10", "5:18", "6:12", "7:13", "9:129", "10:122"], found


# --- what says nothing ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["keep", "dataset", "home", "drill"])
def test_a_key_that_lost_its_value_is_an_error_not_a_default(key: str) -> None:
    """A resource without rules would go to no vault at all."""
    text = shop().replace(", keep: {last: 3}", f", keep: {{last: 3}}, {key}: ") if key != "keep" else shop()
    if key == "keep":
        text = text.replace("keep: {last: 3}", "keep: ")
    for vocabulary in (words(), words(defaults={"keep": {"daily": 7}})):
        policy, findings = read(text, vocabulary)
        assert policy is None
        assert [finding.message for finding in findings] == [f"{key} must not be empty"]


def test_an_entry_of_vaults_or_copies_that_lost_its_rules_is_an_error() -> None:
    for entry in ("{vault: s3-west, keep: }", "{vault: s3-west, every: }", "{vault: s3-west, keep: {within: }}"):
        _, findings = read(shop().replace("[s3-west]", f"[{entry}]"))
        assert [finding.message.partition(" ")[2] for finding in findings] == ["must not be empty"]
    volumes = (
        "  - {name: d, kind: ebs, select: {tags: {a: b}}, schedule: {every: 1d}, keep: {last: 3}, copies: [COPY]}\n"
    )
    for entry in ("{region: us-west-2, keep: }", "{region: us-west-2, every: }"):
        _, findings = read(shop("", volumes.replace("COPY", entry)))
        assert [finding.message.partition(" ")[2] for finding in findings] == ["must not be empty"]


# --- for editors ---------------------------------------------------------------------------------------------------


def test_the_schema_has_the_keys_of_leaving() -> None:
    schema = json.loads(json.dumps(json_schema(words())))
    assert {"retired", "formerly", "reach_back"} <= schema["properties"].keys()
    assert schema["$defs"]["RetiredForm"]["required"] == ["since", "reason"]
    for kind in ("postgres", "ebs"):
        properties = schema["$defs"][f"resource-{kind}"]["properties"]
        assert "formerly" in properties
        assert "retired" not in properties
