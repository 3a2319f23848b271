"""Policies: what a valid file resolves to, and every way of being wrong with its place, its message and its hint."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from policy_words import KINDS, RETURNING, VAULTS, Instance, Networked, policy_of, read, words
from pydantic import ValidationError

from drorch.domain.model import FailureDomain, FailureLevel
from drorch.domain.native_restore import Isolation
from drorch.domain.policy import DrillRule, Keep, Objective, Policy, Probe, VaultRule
from drorch.domain.policy_drills import isolation_of
from drorch.domain.policy_schema import json_schema
from drorch.domain.schedule import Cron, Every
from drorch.domain.vocabulary import KindWords

SHOP = """\
version: 1
application: shop
owner: payments@example.com
home: {account: prod, region: us-east-1}
objectives:
  zone: {rpo: 9h, rto: 30m}
  region: {rpo: 9h, rto: 2h}
  provider: {rpo: 2d, rto: 12h}
resources:
  - name: ledger
    kind: rds-instance
    identifier: shop-ledger
    schedule: {every: 4h}
    copies: [{region: us-west-2, kms_key: alias/drorch, every: 8h}]
    keep: {last: 2, daily: 14}
    objectives: {region: {rpo: 12h}}
    exempt: {provider: "rebuilt from the bank's feed"}
  - name: orders
    kind: postgres
    connection: {host: orders.internal, password: {credential: orders-db}}
    schedule: {cron: "15 */6 * * *", timezone: Europe/Berlin}
    vaults: [s3-west, {vault: gcs-eu, every: 1d, keep: {daily: 35}}]
    keep: {last: 3, daily: 14}
    drill:
      every: 7d
      from: [gcs-eu]
      probes:
        - {sql: "select count(*) from orders", expect: ">= 1"}
        - {sql: "select max(placed_at) from orders", newer_than: 12h}
"""

MINIMAL = """\
version: 1
application: shop
owner: me
home: {account: prod, region: us-east-1}
resources:
  - name: orders
    kind: postgres
    connection: {host: h}
    schedule: {every: 1h}
    vaults: [s3-west]
    keep: {last: 3}
"""


# --- what a valid file resolves to ---------------------------------------------------------------------------------


def test_native_snapshots_go_to_the_home_vault_and_one_vault_per_copy() -> None:
    ledger = policy_of(SHOP).resources[0]
    assert ledger.native
    assert ledger.home == FailureDomain("aws", "us-east-1", "prod")
    assert ledger.targets == (
        VaultRule(vault="prod.us-east-1", keep=Keep(last=2, daily=14), home=True),
        VaultRule(
            vault="prod.us-west-2", keep=Keep(last=2, daily=14), every=timedelta(hours=8), kms_key="alias/drorch"
        ),
    )
    assert ledger.schedule == Every(timedelta(hours=4))
    assert ledger.inventory == "off"
    assert ledger.drill is None


def test_a_copy_may_lie_in_another_account_in_the_home_region_too() -> None:
    into = "{region: us-west-2}, {region: us-west-2, account: vault}, {region: us-east-1, account: vault, every: 8h}"
    ledger = policy_of(changed("{region: us-west-2, kms_key: alias/drorch, every: 8h}", into)).resources[0]
    assert [rule.vault for rule in ledger.targets] == [
        "prod.us-east-1",
        "prod.us-west-2",
        "vault.us-west-2",
        "vault.us-east-1",
    ]
    assert [rule.home for rule in ledger.targets] == [True, False, False, False]


def test_copies_into_another_account_are_only_for_kinds_that_can() -> None:
    alone = words(kinds={**KINDS, "rds-instance": KindWords(Instance, native=True)})
    text = changed("kms_key: alias/drorch", "account: vault")
    _, findings = read(text, alone)
    assert [str(finding) for finding in findings] == [
        "shop.yaml:14:43: a copy of kind rds-instance in another account is not in this version "
        "(copies of its home account only)"
    ]
    assert not read(changed("kms_key: alias/drorch", "account: prod"), alone)[1], "its own account by its name"


def test_dumps_go_to_the_vaults_named_with_their_own_rules_or_the_resources() -> None:
    orders = policy_of(SHOP).resources[1]
    assert not orders.native
    assert orders.targets == (
        VaultRule(vault="s3-west", keep=Keep(last=3, daily=14)),
        VaultRule(vault="gcs-eu", keep=Keep(daily=35), every=timedelta(days=1)),
    )
    assert orders.schedule == Cron("15 */6 * * *", "Europe/Berlin")
    assert orders.inventory == "exact"
    assert orders.max_duration is None
    limited = policy_of(SHOP.replace("    drill:\n", "    max_duration: 3h\n    drill:\n")).resources[1]
    assert limited.max_duration == timedelta(hours=3)
    assert orders.drill is not None
    assert orders.drill.from_ == ("gcs-eu",)
    assert [probe.expected for probe in orders.drill.probes] == [">= 1", "newer than 12h"]


def test_what_is_left_out_has_the_defaults_of_the_contract() -> None:
    orders = policy_of(MINIMAL).resources[0]
    assert (orders.dataset, orders.floor, orders.keep_manual) == ("orders", 2, timedelta(days=14))
    assert orders.drill is None
    assert orders.objectives == {}


def test_objectives_merge_level_by_level_and_field_by_field_and_exemptions_stay_with_their_dataset() -> None:
    policy = policy_of(SHOP)
    ledger, orders = policy.resources
    assert ledger.objectives[FailureLevel.REGION] == Objective(rpo="12h", rto="2h")
    assert ledger.objectives[FailureLevel.ZONE] == policy.objectives[FailureLevel.ZONE]
    assert ledger.exempt == {FailureLevel.PROVIDER: "rebuilt from the bank's feed"}
    assert orders.objectives == policy.objectives
    assert orders.exempt == {}


def test_what_one_resource_says_holds_for_the_others_of_its_dataset() -> None:
    policy = policy_of(
        MINIMAL
        + """\
  - name: volumes
    kind: ebs
    dataset: orders
    select: {tags: {app: shop}}
    schedule: {every: 1h}
    keep: {last: 3}
    objectives: {zone: {rpo: 5h}}
    exempt: {region: it is in git}
"""
    )
    for resource in policy.resources:
        assert resource.dataset == "orders"
        assert resource.objectives == {FailureLevel.ZONE: Objective(rpo="5h")}
        assert resource.exempt == {FailureLevel.REGION: "it is in git"}


def test_a_dataset_that_promises_a_level_itself_is_not_exempt_there_by_the_applications_word() -> None:
    text = MINIMAL.replace("resources:", "exempt: {region: it is in git}\nresources:")
    assert policy_of(text).resources[0].exempt == {FailureLevel.REGION: "it is in git"}
    assert policy_of(text + "    objectives: {region: {rpo: 2h}}\n").resources[0].exempt == {}


def test_a_home_off_aws_and_a_resource_with_a_home_of_its_own() -> None:
    text = MINIMAL.replace("{account: prod, region: us-east-1}", "{provider: onprem, region: office}")
    assert policy_of(text).resources[0].home == FailureDomain("onprem", "office")
    text = MINIMAL + "    home: {account: vault, region: us-west-2}\n"
    assert policy_of(text).resources[0].home == FailureDomain("aws", "us-west-2", "vault")
    assert policy_of(text).home.domain == FailureDomain("aws", "us-east-1", "prod")


def test_the_hosts_defaults_fill_in_keep_drill_and_objectives() -> None:
    defaults = {
        "keep": {"daily": 7},
        "drill": {"every": "30d", "from": ["gcs-eu", "s3-west"]},
        "objectives": {"zone": {"rpo": "9h"}, "region": {"rpo": "9h", "rto": "1d"}},
    }
    text = SHOP.replace("    keep: {last: 2, daily: 14}\n", "").replace("  zone: {rpo: 9h, rto: 30m}\n", "")
    policy = policy_of(text, words(defaults=defaults))
    assert policy.resources[0].targets[0].keep == Keep(daily=7)
    assert policy.resources[0].drill is None
    assert policy.objectives[FailureLevel.ZONE] == Objective(rpo="9h")
    assert policy.objectives[FailureLevel.REGION] == Objective(rpo="9h", rto="2h")
    assert policy.resources[1].drill is not None
    assert policy.resources[1].drill.every == timedelta(days=7)
    assert policy_of(MINIMAL, words(defaults=defaults)).resources[0].drill == DrillRule(every="30d", from_=("s3-west",))


def test_kinds_whose_snapshots_aws_limits_may_have_a_default_of_their_own() -> None:
    defaults = {"keep": {"daily": 7}, "keep_of": {"rds-instance": {"last": 2}}}
    text = SHOP.replace("    keep: {last: 2, daily: 14}\n", "")
    free = text.replace("kind: rds-instance", "kind: ebs").replace("identifier: shop-ledger", "select: {tags: {a: b}}")
    for given, keep in ((text, Keep(last=2)), (free, Keep(daily=7)), (SHOP, Keep(last=2, daily=14))):
        resource = policy_of(given, words(defaults=defaults)).resources[0]
        assert {rule.keep for rule in resource.targets} == {keep}
    alone = policy_of(text, words(defaults={"keep_of": defaults["keep_of"]}))
    assert alone.resources[0].targets[0].keep == Keep(last=2)


def test_a_drill_without_vaults_is_from_all_of_them() -> None:
    policy = policy_of(SHOP.replace("      from: [gcs-eu]\n", ""))
    assert policy.resources[1].drill is not None
    assert policy.resources[1].drill.from_ == ("s3-west", "gcs-eu")


def test_without_a_host_configuration_names_of_vaults_accounts_and_credentials_go_unchecked() -> None:
    text = SHOP.replace("gcs-eu", "anywhere").replace("account: prod", "account: other").replace("orders-db", "any")
    assert read(text)[0] is None
    policy = policy_of(text, words(vaults=None, accounts=None, credentials=None))
    assert policy.resources[1].targets[1].vault == "anywhere"


def test_a_policy_cannot_be_changed_after_it_was_read() -> None:
    policy = policy_of(MINIMAL)
    with pytest.raises(ValidationError):
        policy.owner = "somebody else"


# --- every way of being wrong --------------------------------------------------------------------------------------


def changed(old: str, new: str, text: str = SHOP) -> str:
    assert old in text
    return text.replace(old, new, 1)


@pytest.mark.parametrize(
    ("text", "place", "message", "hint"),
    [
        # unknown and duplicate keys
        (changed("owner:", "ownr:"), "3:1", "unknown key ownr", "did you mean owner?"),
        (changed("zone: {", "zoen: {"), "6:3", "unknown key zoen", "did you mean zone?"),
        (changed("copies:", "copys:"), "14:5", "unknown key copys", "did you mean copies?"),
        (changed("kms_key:", "key:"), "14:34", "unknown key key", "did you mean kms_key?"),
        (changed("host:", "hosst:"), "20:18", "unknown key hosst", "did you mean host?"),
        (changed("expect:", "expects:"), "28:48", "unknown key expects", "did you mean expect?"),
        (changed("owner: pay", "application: pay"), "3:1", "application stands here twice", "first in line 2"),
        (changed("rto: 30m", "rpo: 30m"), "6:19", "rpo stands here twice", "first in line 6"),
        # wrong types
        (changed("version: 1", "version: '1'"), "1:10", "version must be a whole number, not text", ""),
        (changed("version: 1", "version: 2"), "1:10", "version 2 is not in this version", "reads version: 1"),
        (changed("payments@example.com", "5"), "3:8", "owner must be text, not a number", "put it in quotes"),
        (changed("payments@example.com", "''"), "3:8", "owner must not be empty", ""),
        (changed("{account: prod, region: us-east-1}", "prod"), "4:7", "home must be a mapping, not text", ""),
        (changed("[{region:", "{region:").replace("8h}]", "8h}"), "14:13", "copies must be a list, not a map", ""),
        (changed("{last: 2, daily: 14}", "14"), "15:11", "keep must be a mapping, not a number", ""),
        (changed("last: 2", "last: two"), "15:18", "last must be a whole number, not text", ""),
        (changed("last: 2", "last: true"), "15:18", "last must be a whole number, not true or false", ""),
        (changed("last: 2", "last: 0"), "15:18", "last must be greater than 0", ""),
        (changed("daily: 14", "daily: -1"), "15:28", "daily must be greater than 0", ""),
        (changed("{last: 2, daily: 14}", "{}"), "15:11", "keep keeps nothing", "at least one of last"),
        (changed("keep: {last: 2", "floor: 0\n    keep: {last: 2"), "15:12", "floor must be greater than 0", ""),
        (changed("application: shop", "application: Shop!"), "2:14", "'Shop!' is not a name", "a-z, 0-9"),
        (changed("name: orders", "name: or.ders"), "18:11", "'or.ders' is not a name", "a-z, 0-9"),
        (changed('"rebuilt from the bank\'s feed"', "' '"), "17:24", "provider must not be empty", ""),
        # missing keys
        (changed("application: shop\n", ""), "1:1", "application is missing", ""),
        (changed("    keep: {last: 2, daily: 14}\n", ""), "10:5", "keep is missing", "{last: 3, daily: 14}"),
        (changed("    identifier: shop-ledger\n", ""), "10:5", "identifier is missing", ""),
        (
            changed("    vaults: [s3-west, {vault: gcs-eu, every: 1d, keep: {daily: 35}}]\n", ""),
            "18:5",
            "vaults is",
            "",
        ),
        (
            changed("vaults: [s3-west, {vault: gcs-eu, every: 1d, keep: {daily: 35}}]", "vaults: []"),
            "18:5",
            "vaults",
            "",
        ),
        (changed("host: orders.internal, ", ""), "20:17", "host is missing", ""),
        # schedules
        (changed("15 */6 * * *", "0 0 30 2 *"), "21:22", "never fires", "no month it names has such a day"),
        (changed("15 */6 * * *", "15 */6 * *"), "21:22", "has 4 fields, not five", "minute hour day-of-month"),
        (changed("15 */6 * * *", "61 * * * *"), "21:22", "minute '61' is not 0-59", ""),
        (changed("Europe/Berlin", "Europe/Berln"), "21:48", "unknown time zone", "did you mean Europe/Berlin?"),
        (changed(", timezone: Europe/Berlin", ""), "21:15", "timezone is missing", "an IANA name"),
        (changed("{every: 4h}", "{every: 4h, timezone: UTC}"), "13:15", "timezone belongs to cron", "offset"),
        (changed("{every: 4h}", "{every: 4h, offset: 4h}"), "13:15", "offset 4h does not fit", "shorter than"),
        (changed("{every: 4h}", "{every: 90s}"), "13:15", "every 1m30s is not in whole minutes", "1m"),
        (changed("{every: 4h}", "{every: 4h, cron: 0 0 * * *}"), "13:15", "either every or cron", ""),
        (changed("{every: 4h}", "4h"), "13:15", "schedule must be a mapping, not text", ""),
        (changed("every: 8h", "every: 61s"), "14:64", "every 1m1s is not in whole minutes", ""),
        # durations
        (changed("every: 4h", "every: 240"), "13:23", "a bare number has no unit", "write 90m"),
        (changed("every: 4h", "every: 4:00"), "13:23", "a colon may mean minutes or hours", "write 90m"),
        (changed("every: 4h", "every: -4h"), "13:23", "it is negative", "write 90m"),
        (changed("every: 4h", "every: 0h"), "13:23", "no time at all", "longer than zero"),
        (changed("rpo: 9h", "rpo: 0"), "6:15", "a bare number has no unit", "write 90m"),
        (changed("rpo: 9h, rto: 30m", ""), "6:9", "zone promises nothing", "rpo: DURATION"),
        # names that nothing bears
        (changed("region: us-east-1", "region: us-eest-1"), "4:31", "unknown region 'us-eest-1'", "us-east-1?"),
        (changed("region: us-west-2", "region: mars"), "14:23", "unknown region 'mars'", "known: eu-central-1"),
        (changed("account: prod", "account: prd"), "4:17", "unknown account prd", "did you mean prod?"),
        (changed("kind: postgres", "kind: posgres"), "19:11", "unknown kind 'posgres'", "did you mean postgres?"),
        (changed("[s3-west,", "[s3-wst,"), "22:14", "unknown vault s3-wst", "did you mean s3-west?"),
        (changed("vault: gcs-eu", "vault: gcs-ue"), "22:31", "unknown vault gcs-ue", "did you mean gcs-eu?"),
        (changed("[s3-west,", "[prod.us-west-2,"), "22:14", "not a vault for dumps", "names with a dot"),
        (changed("from: [gcs-eu]", "from: [s3-home]"), "26:14", "drill from s3-home, where no dump goes", "s3-west"),
        (changed("orders-db", "order-db"), "20:64", "unknown credential order-db", "did you mean orders-db?"),
        (changed("orders-db", "bank-db"), "20:64", "credential bank-db is not granted to shop", "add shop"),
        # said twice, or in the wrong place
        (changed("[s3-west, {vault: gcs-eu,", "[gcs-eu, {vault: gcs-eu,"), "22:22", "vault gcs-eu twice", "one entry"),
        (changed("region: us-west-2", "region: us-east-1"), "14:23", "region us-east-1 twice", "the home region"),
        (
            changed("region: us-west-2", "account: prod, region: us-east-1"),
            "14:38",
            "region us-east-1 of account prod twice",
            "the home region",
        ),
        (changed("kms_key: alias/drorch", "account: volt"), "14:43", "unknown account volt", "did you mean vault?"),
        (changed("kms_key: alias/drorch", "account: 222222222222"), "14:43", "must be text, not a number", "quotes"),
        (changed("name: orders", "name: ledger"), "18:11", "resource ledger twice", "one name, one resource"),
        (changed("from: [gcs-eu]", "from: [gcs-eu, gcs-eu]"), "26:22", "vault gcs-eu twice", ""),
        (
            changed("identifier:", "vaults: [s3-west]\n    identifier:"),
            "12:5",
            "vaults is not for kind rds-",
            "copies:",
        ),
        (changed("identifier:", "inventory: exact\n    identifier:"), "12:5", "inventory is not for kind", "dumps"),
        (changed("identifier:", "max_duration: 3h\n    identifier:"), "12:5", "max_duration is not for kind", "dumps"),
        (changed("connection:", "copies: []\n    connection:"), "20:5", "copies is not for kind postgres", "vaults:"),
        (
            changed("    identifier", "    home: {provider: onprem, region: x}\n    identifier"),
            "12:11",
            "lives in AWS",
            "acc",
        ),
        (changed("account: prod", "account: 111111111111"), "4:17", "must be a name, not a number", "such as prod"),
        (changed("region: us-west-2", "region: cn-north-1"), "14:23", "cannot copy between partitions", "us-east-1"),
        (changed("region: us-west-2", "region: us-gov-west-1"), "14:23", "cannot copy between partitions", ""),
        (changed("region: us-west-2", "region: us-iso-east-1"), "14:23", "cannot copy between partitions", ""),
        (changed("account: prod, ", ""), "4:7", "home needs either account or provider", "{account: prod"),
        (changed("account: prod", "provider: aws"), "4:7", "a home in AWS names its account", "account: NAME"),
        # probes
        (changed('expect: ">= 1"', "expect: 1"), "28:56", "expect must be text, not a number", "put it in quotes"),
        (changed('expect: ">= 1"', 'expect: "about 1"'), "28:56", "expect is not understood", "== != >= <= > <"),
        (changed(', expect: ">= 1"', ""), "28:11", "either expect or newer_than", ""),
        (changed("newer_than: 12h", "newer_than: 12h, expect: '> 1'"), "29:11", "either expect or newer_than", ""),
        # secrets
        (changed("{credential: orders-db}", "hunter2"), "20:51", "a secret does not stand in a policy", "{credential"),
        (changed("orders-db}}", "hunter2!}}"), "20:51", "a secret does not stand in a policy", ""),
        (changed("{credential: orders-db}", "{hunter2: x}"), "20:51", "a secret does not stand in a policy", ""),
    ],
)
def test_one_error_has_its_place_its_message_and_its_hint(text: str, place: str, message: str, hint: str) -> None:
    policy, findings = read(text)
    shown = [str(finding) for finding in findings]
    assert policy is None
    matching = [line for line in shown if line.startswith(f"shop.yaml:{place}: ") and message in line]
    assert matching, shown
    assert hint in matching[0].partition(message)[2], shown
    assert not any("hunter2" in line for line in shown)


@pytest.mark.parametrize(
    ("text", "place", "name"),
    [
        (changed("{host:", "{auth: iam, host:"), "20:18", "auth"),
    ],
)
def test_what_the_contract_reserves_is_refused_as_not_in_this_version(text: str, place: str, name: str) -> None:
    _, findings = read(text)
    assert [str(finding) for finding in findings] == [
        f"shop.yaml:{place}: {name} is not in this version (leave it out; it is reserved for a later one)"
    ]


def test_a_drill_of_snapshots_goes_where_their_copies_lie() -> None:
    policy, findings = read(
        changed("    identifier", "    drill: {every: 7d, max_hours: 2}\n    identifier"), words(kinds=RETURNING)
    )
    assert not findings and policy is not None
    rule = policy.resources[0].drill
    assert rule is not None and rule.from_ == tuple(t.vault for t in policy.resources[0].targets if not t.home)
    said = "    drill: {every: 7d, from: [prod.eu-west-9]}\n    identifier"
    _, findings = read(changed("    identifier", said))
    assert [f.message for f in findings] == ["drill from prod.eu-west-9, where no copy goes"]


NATIVE = words(kinds=RETURNING)
NETWORKED = words(
    kinds={name: replace(kind, restore=Networked) if kind.native else kind for name, kind in KINDS.items()}
)
PROBES = "probes: [{sql: select 1, expect: '>= 1'}]"
CONNECT = "connect: {password: {credential: orders-db}}"


@pytest.mark.parametrize(
    ("said", "message"),
    [
        (PROBES, "nobody says how the probes log on"),
        (CONNECT, "connect is for probes"),
        (f"{PROBES}, {CONNECT.replace('orders-db', 'bank-db')}", "credential bank-db is not granted to shop"),
        (f"{PROBES}, {CONNECT.replace('{credential: orders-db}', 'hunter2')}", "a secret does not stand in a policy"),
        (f"{PROBES}, connect: {{user: probe}}", "password is missing"),
        (f"{PROBES}, connect: {{password: {{credential: orders-db}}, host: db}}", "unknown key host"),
    ],
)
def test_probes_of_snapshots_say_how_they_log_on(said: str, message: str) -> None:
    _, findings = read(changed("    identifier", f"    drill: {{every: 7d, {said}}}\n    identifier"), NATIVE)
    assert [f.message for f in findings] == [message]


OWN = "isolation: own"
GROUPS = "options: {security_groups: [sg-1]}"


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ("isolation: none", "isolation must be one of own"),
        ("reach_from: []", "reach_from"),
        ("reach_from: [0.0.0.0/0]", "that is everybody"),
        ("reach_from: ['::/0']", "that is everybody"),
        ("reach_from: [10.0.0.1/8]", "'10.0.0.1/8' is no source"),
        ("reach_from: [office]", "'office' is no source"),
        (f"{GROUPS}, reach_from: [10.0.0.0/8]", "reach_from is for isolation: own"),
        (f"{GROUPS}, {OWN}", "the drill has a group of its own"),
    ],
)
def test_a_network_of_the_drills_own_lets_in_named_sources(said: str, message: str) -> None:
    _, findings = read(changed("    identifier", f"    drill: {{every: 7d, {said}}}\n    identifier"), NETWORKED)
    assert len(findings) == 1 and message in findings[0].message, [f.message for f in findings]


@pytest.mark.parametrize(
    ("said", "mapped", "isolation"),
    [
        ("", {}, Isolation()),
        ("reach_from: [10.1.2.3, 'fd00::/8', sg-0a]", {}, Isolation(("10.1.2.3/32", "fd00::/8", "sg-0a"))),
        ("", {"security_groups": ["sg-1"]}, None),
        (GROUPS, {}, None),
        (OWN, {"security_groups": ["sg-1"]}, Isolation()),
    ],
)
def test_a_drill_of_a_database_is_in_a_network_of_its_own_unless_somebody_says_which(
    said: str, mapped: dict[str, object], isolation: Isolation | None
) -> None:
    policy, findings = read(changed("    identifier", f"    drill: {{every: 7d, {said}}}\n    identifier"), NETWORKED)
    assert policy is not None, findings
    rule = policy.resources[0].drill
    assert isolation_of(Networked, mapped, rule, probes=True) == isolation
    assert isolation_of(Networked, mapped, rule, probes=False) is None, "of what is no database"


def test_probes_of_snapshots_are_for_databases_and_their_logins_for_snapshots() -> None:
    policy, findings = read(
        changed("    identifier", f"    drill: {{every: 7d, {PROBES}, {CONNECT}}}\n    identifier"), NATIVE
    )
    assert policy is not None and not findings
    rule = policy.resources[0].drill
    assert rule is not None and rule.connect is not None and rule.connect.password.credential == "orders-db"
    volumes = changed("rds-instance", "ebs").replace("    identifier: shop-ledger", "    select: {tags: {app: shop}}")
    volumes = volumes.replace("    select", f"    drill: {{every: 7d, {PROBES}}}\n    select")
    assert [f.message for f in read(volumes, NATIVE)[1]] == ["a drill of kind ebs asks no probes"]
    dumps = changed("      every: 7d", f"      every: 7d\n      {CONNECT}")
    assert [f.message for f in read(dumps, NATIVE)[1]] == ["connect is for drills of snapshots"]


def test_every_error_of_a_file_is_shown_at_once() -> None:
    """Errors of form do not hide errors of meaning, nor one wrong entry of a list those beside it."""
    _, findings = read(
        """
        version: 3
        application: Shop
        home: {account: prd, region: us-eest-1, zone: a}
        objectives: {zoen: {rpo: 9h}, region: {rpo: 9}}
        resources:
          - name: data
            kind: ebs
            select: {tags: {}}
            schedule: {every: 0m}
            copies: [{region: mars}, {region: us-west-2, lock: 3d}]
            keep: {daly: 3}
          - name: data
            kind: postgres
            connection: {password: hunter2}
            schedule: {cron: "0 0 30 2 *", timezone: Nowhere}
            vaults: [s3-wst, {vault: 5}, BAD NAME]
            keep: {last: 0}
            drill: {every: 7, from: [nas]}
          - kind: tape
          - text
        """
    )
    assert [(f.line, f.column) for f in findings] == [
        *[(1, 10), (2, 14), (3, 17), (3, 30), (3, 41), (4, 14), (4, 45), (8, 20), (9, 23), (10, 23), (10, 56)],
        *[(11, 12), (12, 11), (14, 17), (14, 28), (15, 22), (15, 46), (16, 14), (16, 30), (16, 34), (17, 18)],
        *[(18, 20), (19, 5), (19, 11), (20, 5)],
    ], [str(f) for f in findings]
    assert not any("hunter2" in str(f) for f in findings)


@pytest.mark.parametrize("data", [None, [], "text", 5])
def test_data_that_is_no_mapping_is_refused(data: object) -> None:
    from drorch.domain.policy_file import parse_policy

    policy, problems = parse_policy(data, words())
    assert policy is None
    assert "must be a mapping" in problems[0].message


# --- datasets ------------------------------------------------------------------------------------------------------

TWO = (
    MINIMAL
    + """\
    objectives: {region: {rpo: 3h, rto: 1h}}
  - name: more
    kind: postgres
    dataset: orders
    connection: {host: h}
    schedule: {every: 1h}
    vaults: [gcs-eu]
    keep: {last: 3}
"""
)


def test_two_resources_of_one_dataset_may_not_promise_differently() -> None:
    _, findings = read(TWO + "    objectives: {region: {rpo: 4h, rto: 1h}}\n")
    assert [str(f) for f in findings] == [
        "shop.yaml:20:32: rpo 4h at region differs from that of orders (both protect dataset orders: say it once)"
    ]


def test_two_resources_of_one_dataset_may_say_the_same_or_complete_each_other() -> None:
    policy = policy_of(TWO + "    objectives: {region: {rpo: 3h}, provider: {rpo: 5h}}\n")
    for resource in policy.resources:
        assert resource.objectives == {
            FailureLevel.REGION: Objective(rpo="3h", rto="1h"),
            FailureLevel.PROVIDER: Objective(rpo="5h"),
        }


def test_a_dataset_may_not_be_promised_and_exempt_at_one_level() -> None:
    _, findings = read(TWO + "    exempt: {region: it is in git}\n")
    assert [str(f) for f in findings] == [
        "shop.yaml:20:22: region is promised and exempt at once (for dataset orders keep one of them)"
    ]
    _, findings = read(MINIMAL.replace("resources:", "objectives: {zone: {rpo: 9h}}\nexempt: {zone: x}\nresources:"))
    assert [str(f) for f in findings] == ["shop.yaml:6:16: zone is promised and exempt at once (keep one of them)"]


def test_two_reasons_for_one_exemption_are_refused() -> None:
    text = TWO.replace("    objectives: {region: {rpo: 3h, rto: 1h}}\n", "    exempt: {region: git}\n")
    _, findings = read(text + "    exempt: {region: other}\n")
    assert [f.message for f in findings] == ["the exemption at region differs from that of orders"]


# --- probes --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("expect", "value", "met"),
    [
        (">= 1", 1, True),
        (">= 1", 0, False),
        (">=1", "3", True),
        ("== 2", Decimal("2.0"), True),
        ("!= 2", 3, True),
        ("!= 2", "none", True),
        ("< 10", 9.5, True),
        ("<= 10", 11, False),
        ("> 1e3", 1001, True),
        (">= 1", "many", False),
        (">= 1", None, False),
        ("!= 1", None, False),
        ("== 1", True, False),
        ("== true", True, True),
        ("== open", "open", True),
        ("== 'open'", "open", True),
        ('!= "open"', "shut", True),
        ("> 2026-01-01", "2026-11-20", True),
        ("== a  b", "a  b", True),
        (">= 1", float("nan"), False),
    ],
)
def test_a_probe_compares_numbers_as_numbers_and_text_as_text(expect: str, value: object, met: bool) -> None:
    assert Probe(sql="select 1", expect=expect).compare(value) is met


NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "met"),
    [
        (NOW - timedelta(hours=11), True),
        (NOW - timedelta(hours=12), False),
        (datetime(2026, 11, 20, 1), True),  # noqa: DTZ001  what a column without time zone answers
        (date(2026, 11, 20), False),
        (date(2026, 11, 21), True),
        ("2026-11-20T08:00:00+00:00", True),
        ("yesterday", False),
        (5, False),
        (None, False),
    ],
)
def test_a_probe_wants_data_newer_than_the_instant_it_counts_back_from(value: object, met: bool) -> None:
    assert Probe(sql="select max(at)", newer_than="12h").compare(value, NOW) is met


def test_without_an_instant_to_count_from_nothing_is_new() -> None:
    assert not Probe(sql="select max(at)", newer_than="12h").compare(NOW)


# --- the schema for editors ----------------------------------------------------------------------------------------


def test_the_schema_tells_resources_apart_by_their_kind() -> None:
    schema = json.loads(json.dumps(json_schema(words())))
    items = schema["properties"]["resources"]["items"]
    assert set(items["discriminator"]["mapping"]) == {"ebs", "postgres", "rds-instance"}
    assert {"$ref": "#/$defs/resource-ebs"} in items["oneOf"]
    ebs, dump = schema["$defs"]["resource-ebs"], schema["$defs"]["resource-postgres"]
    assert {"select", "copies", "keep"} <= set(ebs["properties"])
    assert not {"vaults", "connection"} & set(ebs["properties"])
    assert {"connection", "vaults", "drill"} <= set(dump["properties"])
    assert "vaults" in dump["required"]
    assert dump["additionalProperties"] is False
    assert schema["required"] == ["version", "application", "home", "resources"]


def test_every_reference_of_the_schema_leads_somewhere() -> None:
    schema = json_schema(words())
    references = [part.split('"')[0] for part in json.dumps(schema).split('"$ref": "#/$defs/')[1:]]
    assert references
    assert set(references) <= set(schema["$defs"])


def test_a_policy_can_be_made_from_values() -> None:
    """As tests of the planner do."""
    policy = policy_of(SHOP)
    assert Policy(**{name: getattr(policy, name) for name in Policy.model_fields}) == policy
    assert set(VAULTS) == {"s3-west", "s3-home", "gcs-eu"}


def test_how_a_drill_brings_snapshots_back_is_said_whole_or_told() -> None:
    def told(options: str) -> list[str]:
        said = f"    drill: {{every: 7d, options: {options}}}\n    identifier"
        return [str(finding) for finding in read(changed("    identifier", said), words(kinds=RETURNING))[1]]

    assert told("{zone: us-west-2a}") == []
    (unknown,) = told("{zonne: us-west-2a}")
    assert "unknown key zonne" in unknown
    (touching,) = told("{attach: i-1}")
    assert "a drill never does this (attach)" in touching
