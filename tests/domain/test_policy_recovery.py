from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from policy_words import KINDS, policy_of, read, words
from runbooks import ALL, HOST, REGIONS, RESTORING, STEPS, TWO, Placed, Zoned, changed, shop

from drorch.domain.dump_return import dumps_in
from drorch.domain.policy_recovery import left_out
from drorch.domain.policy_schema import json_schema
from drorch.domain.runbook import Command, Launch, Manual, Restore, SwitchRecord, Wait
from drorch.domain.vocabulary import Vocabulary
from drorch.engines.postgres import RestoreOptions


def test_a_runbook_has_its_regions_and_its_steps_in_order() -> None:
    recovery = policy_of(shop(), HOST).recovery
    assert recovery is not None
    assert recovery.options("us-west-2", "ledger") == Placed(subnet_group="dr", security_groups=("sg-1",))
    assert recovery.options("us-west-2", "orders") is None
    assert recovery.options("ap-south-1", "ledger") is None
    assert [(step.name, step.needs) for step in recovery.steps] == [
        ("database", ()),
        ("image", ()),
        ("site", ("database", "image")),
        ("healthy", ("site",)),
        ("dns", ("healthy",)),
        ("word", ("dns",)),
        ("reindex", ("word",)),
    ]
    assert [step.deed for step in recovery.steps] == [
        Restore("ledger"),
        Restore("web"),
        Launch("image", "shop-dr", "shop-tg"),
        Wait("https://shop-dr.internal/health", 200, timedelta(minutes=10)),
        SwitchRecord("Z1", "shop.example.com", "CNAME", ("dr.example.com",), 60),
        Manual("Tell payments"),
        Command(("/usr/local/bin/reindex", "--all")),
    ]
    assert recovery.steps[4].fallback == "page 12"


def test_a_restored_resource_that_is_not_mapped_comes_back_under_the_defaults_of_its_kind() -> None:
    recovery = policy_of(shop(), HOST).recovery
    assert recovery is not None
    assert recovery.options("us-west-2", "web") == Zoned()


def test_a_step_does_in_each_region_what_is_said_for_it() -> None:
    recovery = policy_of(TWO, HOST).recovery
    assert recovery is not None
    assert [step.deed for step in recovery.in_region("us-west-2").steps] == [
        Restore("web"),
        Launch("image", "dr-west", "dr"),
        Wait("https://west.internal/", 200, timedelta(minutes=10)),
        SwitchRecord("Z1", "example.com", "A", ("10.0.0.1",), 30),
        Manual("Tell the west"),
        Command(("/bin/west",)),
    ]
    south = recovery.in_region("ap-south-1")
    assert [step.deed for step in south.steps][1:] == [
        Launch("image", "dr-south", "dr"),
        Wait("https://south.internal/", 200, timedelta(minutes=10)),
        SwitchRecord("Z1", "example.com", "A", ("10.1.0.1", "10.1.0.2"), 30),
        Manual("Tell the south"),
        Command(("/bin/south", "--all")),
    ]
    assert [step.fallback for step in south.steps if step.fallback] == ["page 13"]
    assert [step.needs for step in south.steps] == [step.needs for step in recovery.steps]


@pytest.mark.parametrize(
    ("old", "new", "at", "message"),
    [
        ("group: {us-west-2: dr-west, ", "group: {", "group: {ap", "nothing is said for us-west-2"),
        ("{us-west-2: page 12", "{us-west-2: page 12, eu-west-1: x", "fallback: {", "eu-west-1 is no region of this"),
        ("ap-south-1: Tell the south", "ap-south-1: 5", "5}}", "must be text, not a number"),
        ('"https://south.internal/"', "nowhere", "nowhere}", "'nowhere' is no address"),
        ("[/bin/south, --all]", "[south]", "[south]", "absolute path"),
        ("restore: web}", "restore: {us-west-2: web, ap-south-1: web}}", "{us-west-2: web,", "must be text"),
        ("type: A,", "type: {us-west-2: A, ap-south-1: A},", "{us-west-2: A,", "must be one of"),
        ("target_group: dr}", "target_group: {}}", "{}}", "must be text, not a mapping"),
    ],
)
def test_what_is_said_per_region_is_said_for_exactly_the_regions_and_where_that_can_be(
    old: str, new: str, at: str, message: str
) -> None:
    assert TWO.count(old) == 1, old
    text = TWO.replace(old, new)
    _, findings = read(text, HOST)
    assert len(findings) == 1, findings
    assert str(findings[0]).startswith(f"shop.yaml:{place(text, at)}: "), findings
    assert message in str(findings[0])


def test_regions_alone_are_enough() -> None:
    recovery = policy_of(shop().partition("\n  steps:")[0], HOST).recovery
    assert recovery is not None
    assert recovery.steps == ()


def test_a_policy_without_a_runbook_has_none() -> None:
    assert policy_of(shop().partition("\nrecovery:")[0], HOST).recovery is None


def place(text: str, at: str) -> str:
    """LINE:COLUMN of a part of the text that is there once."""
    assert text.count(at) == 1, at
    before = text[: text.index(at)]
    return f"{before.count(chr(10)) + 1}:{len(before.rpartition(chr(10))[2]) + 1}"


@pytest.mark.parametrize(
    ("text", "at", "message", "hint"),
    [
        # regions
        (changed("    us-west-2:\n", "    us-west-9:\n"), "us-west-9:", "unknown region 'us-west-9'", "us-west-2"),
        (
            changed("    us-west-2:\n", "    eu-central-1:\n"),
            "eu-central-1:\n",
            "eu-central-1 is the home",
            "copies go to",
        ),
        (
            changed("    us-west-2:\n", "    ap-south-1:\n"),
            "ledger: {sub",
            "no copy of ledger goes to ap-south-1",
            "copies:",
        ),
        (changed("      ledger:", "      leger:"), "leger:", "there is no resource leger", "did you mean ledger?"),
        (
            changed("      ledger:", "      orders:"),
            "orders: {subnet",
            "a dump of kind postgres in a runbook (orders) is not in this version",
            "drorch",
        ),
        (changed("subnet_group: dr, ", ""), "{security_groups: [sg-1]}", "subnet_group is missing", ""),
        (changed("[sg-1]}", "[sg-1], zone: x}"), "zone: x", "unknown key zone", ""),
        (changed("[sg-1]}", "[sg-1], share: 0.5}"), "{subnet_group: dr", "cannot stand in a record", "whole numbers"),
        (
            changed("      ledger: {subnet_group: dr, security_groups: [sg-1]}", "      web: {}"),
            "us-west-2:\n      web",
            "ledger, which step database restores, is not mapped",
            "with subnet_group",
        ),
        # steps
        (
            changed("restore: ledger}", "restore: leger}"),
            "leger}",
            "there is no resource leger",
            "did you mean ledger?",
        ),
        (
            changed("restore: ledger}", "restore: orders}"),
            "orders}",
            "a dump of kind postgres in a runbook (orders)",
            "--into TARGET",
        ),
        (
            changed("needs: [database]}", "needs: [datebase]}"),
            "datebase]",
            "there is no step datebase",
            "did you mean database?",
        ),
        (changed("needs: [database]}", "needs: [dns]}"), "dns]}", "step dns comes later", "earlier steps"),
        (changed("needs: [database]}", "needs: [site]}"), "{name: site,", "step site needs itself", "earlier steps"),
        (
            changed("name: image, restore", "name: database, restore"),
            "database, restore: web",
            "step database twice",
            "",
        ),
        (
            changed("restore: web,", "restore: ledger,"),
            "ledger, needs",
            "ledger is restored by step database already",
            "",
        ),
        (
            changed("{image: image,", "{image: database,"),
            "database, group",
            "step database restores no image",
            "kind ami",
        ),
        (changed("{image: image,", "{image: healthy,"), "healthy, group", "step healthy comes later", ""),
        (
            changed("restore: ledger}", "restore: ledger, manual: x}"),
            "{name: database, restore",
            "a step does one thing, not restore and manual",
            "",
        ),
        (changed(", restore: ledger}", "}"), "{name: database}", "a step does nothing", "one of restore, launch"),
        (changed('manual: "Tell payments"', "manual: "), "}\n    - {name: reindex", "must not be empty", ""),
        (
            changed("https://shop-dr.internal/health", "shop-dr.internal"),
            '"shop-dr.internal"',
            "is no address",
            "https://",
        ),
        (changed("https://shop", "https://me:hunter2@shop"), '"https://me', "a secret does not stand in a policy", ""),
        (changed('health"}', 'health", for: 25h}'), "25h", "is longer than a step waits", "1d at most"),
        (changed('health"}', 'health", for: 10}'), "10}", "a bare number has no unit", ""),
        (changed("zone: Z1", "zone: z_1"), "z_1", "is not the id of a hosted zone", ""),
        (changed("type: CNAME", "type: MX"), "MX", "must be one of A, AAAA, CNAME", ""),
        (changed("[/usr/local/bin/reindex,", "[reindex,"), "[reindex", "absolute path", ""),
        (changed("--all]", "5]"), "5]}", "must be text, not a number", "quotes"),
    ],
)
def test_one_error_has_its_place_its_message_and_its_hint(text: str, at: str, message: str, hint: str) -> None:
    policy, findings = read(text, HOST)
    shown = [str(finding) for finding in findings]
    assert policy is None
    matching = [line for line in shown if line.startswith(f"shop.yaml:{place(text, at)}: ") and message in line]
    assert matching, shown
    assert hint in matching[0].partition(message)[2], shown
    assert "hunter2" not in str(shown)


def test_what_a_wrong_step_says_of_its_name_is_known_to_those_after_it() -> None:
    _, findings = read(changed("restore: ledger}", "restore: 5}"), HOST)
    assert [str(f) for f in findings] == ["shop.yaml:28:33: restore must be text, not a number (put it in quotes)"]


def test_a_resource_at_home_in_the_region_is_not_brought_back_there() -> None:
    _, findings = read(changed("identifier:", "home: {account: prod, region: us-west-2}\n    identifier:"), HOST)
    assert "ledger lives in us-west-2, which is lost when this is needed" in str(findings[-1])


def test_an_empty_runbook_says_nothing() -> None:
    text = shop().partition("\nrecovery:")[0]
    assert "regions is missing" in str(read(text + "\nrecovery: {}\n", HOST)[1])
    assert "must not be empty" in str(read(text + "\nrecovery: {regions: {}}\n", HOST)[1])
    assert "must not be empty" in str(read(text + "\nrecovery:\n", HOST)[1])


def test_a_kind_without_options_of_restore_is_not_in_this_version() -> None:
    _, findings = read(shop(), words(regions=REGIONS, kinds=RESTORING | {"ami": KINDS["ebs"]}))
    assert [str(f).partition(": ")[2] for f in findings] == [
        "restoring kind ami in a runbook is not in this version (leave it out)"
    ]


def test_commands_need_the_hosts_permission() -> None:
    _, findings = read(shop(), words(kinds=RESTORING, regions=REGIONS, commands=False))
    assert [str(f) for f in findings] == [
        "shop.yaml:34:23: commands are not allowed on this host (recovery: {commands: true} in drorch.yaml)"
    ]


NO_FALLBACK = STEPS.replace(', fallback: "page 12"', "")


def test_a_record_needs_a_fallback_where_its_control_plane_is_lost_with_the_home() -> None:
    for home, control in (("us-east-1", "us-east-1"), ("cn-northwest-1", "cn-northwest-1")):
        host = words(kinds=RESTORING, regions=None)
        text = shop(NO_FALLBACK, home).replace("us-west-2", "cn-north-1" if home.startswith("cn") else "us-west-2")
        text = text.replace(", {region: ap-south-1}", "")
        _, findings = read(text, host)
        assert [str(f).partition(": ")[2] for f in findings] == [
            f"Route 53 is changed from {control} alone, which is lost with the home"
            ' (fallback: "what a person does instead")'
        ]
        assert read(text.replace("dr.example.com}", 'dr.example.com}, fallback: "page 12"'), host)[0] is not None


def test_a_record_needs_a_fallback_where_the_loss_of_the_provider_is_promised_for() -> None:
    text = shop(NO_FALLBACK)
    assert read(text, HOST)[0] is not None
    promised = text.replace("    connection:", "    objectives: {provider: {rpo: 7d}}\n    connection:")
    _, findings = read(promised, HOST)
    assert [f.message for f in findings] == ["Route 53 is changed by the provider alone, whose loss is promised for"]


def test_copies_that_no_step_brings_back_are_named() -> None:
    policy = policy_of(
        shop().replace("    - {name: database, restore: ledger}\n", "").replace("[database]", "[]"), HOST
    )
    assert list(left_out(policy)) == [("ledger", "us-west-2")]
    assert list(left_out(policy_of(shop(), HOST))) == []
    assert list(left_out(policy_of(shop().partition("\n  steps:")[0], HOST))) == []


def test_the_schema_knows_the_steps_and_the_options_of_the_kinds() -> None:
    schema = json_schema(HOST)
    assert set(schema["$defs"]["StepForm"]["properties"]) >= ALL
    mapped = schema["$defs"]["RecoveryForm"]["properties"]["regions"]["additionalProperties"]["patternProperties"]
    assert {item["$ref"].rpartition("/")[2] for options in mapped.values() for item in options["anyOf"]} == {
        "restore-ami",
        "restore-ebs",
        "restore-rds-instance",
    }


def test_the_runbook_of_the_readme_is_one() -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    example = next(block for block in re.findall(r"```yaml\n(.*?)```", readme, re.DOTALL) if "steps:" in block)
    recovery = policy_of(shop().partition("\nrecovery:")[0] + "\n" + example, dumps()).recovery
    assert recovery is not None
    assert {step.deed.word for step in recovery.steps} == ALL


LOADED = changed("restore: ledger}", "restore: orders}").replace(
    "      ledger: {subnet_group: dr, security_groups: [sg-1]}",
    '      orders: {into: "postgresql://restore@orders-dr.internal/orders", password: {credential: orders-dr}}',
)


def dumps(credentials: dict[str, frozenset[str]] | None = None) -> Vocabulary:
    kinds = RESTORING | {"postgres": replace(RESTORING["postgres"], restore=RestoreOptions)}
    return words(kinds=kinds, commands=True, regions=REGIONS, credentials=credentials)


def test_a_dump_is_brought_back_into_the_target_of_the_region() -> None:
    recovery = policy_of(LOADED, dumps({"orders-dr": frozenset({"shop"})})).recovery
    assert recovery is not None
    (options,) = dumps_in(recovery, "us-west-2").values()
    assert (options.into, options.credential) == ("postgresql://restore@orders-dr.internal/orders", "orders-dr")
    assert dumps_in(recovery, "ap-south-1") == {}


@pytest.mark.parametrize(
    ("text", "credentials", "message"),
    [
        (LOADED, {}, "unknown credential orders-dr"),
        (LOADED, {"orders-dr": frozenset({"bank"})}, "credential orders-dr is not granted to shop"),
        (LOADED.replace("restore@", "restore:hunter2@"), None, "a password inside the target is refused"),
        (LOADED.replace("postgresql:", "mysql:"), None, "the target is no PostgreSQL URL"),
        (LOADED.replace("password:", "pasword:"), None, "unknown key pasword"),
        (LOADED.replace('into: "postgresql://restore@orders-dr.internal/orders", ', ""), None, "into is missing"),
    ],
)
def test_a_target_that_cannot_be_is_refused(
    text: str, credentials: dict[str, frozenset[str]] | None, message: str
) -> None:
    _, findings = read(text, dumps(credentials))
    assert message in str(findings[0])
    assert "hunter2" not in str(findings)


def test_the_target_of_a_dump_has_to_be_said_for_every_region() -> None:
    text = LOADED.replace("    us-west-2:\n", "    ap-south-1: {}\n    us-west-2:\n")
    _, findings = read(text, dumps())
    assert [f.message for f in findings] == ["orders, which step database restores, is not mapped"]
