"""The host configuration: where it is found, what it resolves to, and every way of being wrong."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pydantic import BaseModel, ConfigDict, model_validator

from drorch.app import config as config_module
from drorch.app.config import Config, find_config, load_config
from drorch.app.config_form import Listen
from drorch.app.secret import SecretRef
from drorch.crypto.age_keys import new_identity
from drorch.crypto.minisign import SecretKey
from drorch.domain.errors import InvalidInput, NotFound
from drorch.domain.model import FailureDomain, LockMode
from drorch.domain.policy import BrakeRule, DrillRule, Keep, LockRule
from drorch.stores import swift
from drorch.wiring.adapters import store_options

RECIPIENT = new_identity()[1]
PUBLIC = SecretKey.generate().public.text()


class Bucket(BaseModel):
    """Stands in for the options of a bucket at AWS."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    bucket: str
    region: str
    account: str = ""
    prefix: str = ""
    endpoint: str = ""
    provider: str = ""
    lock: LockRule | None = None

    @model_validator(mode="after")
    def _placed(self) -> Bucket:
        if self.endpoint and not self.provider:
            raise ValueError("with endpoint a provider is required")
        return self

    @property
    def domain(self) -> FailureDomain:
        """What is lost together with it."""
        return FailureDomain(self.provider or "aws", self.region, self.account)


class Folder(BaseModel):
    """Stands in for the options of a folder."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: str
    provider: str
    region: str

    @property
    def domain(self) -> FailureDomain:
        """What is lost together with it."""
        return FailureDomain(self.provider, self.region)


VAULT_OPTIONS: dict[str, type[BaseModel]] = {"s3": Bucket, "directory": Folder}

FULL = f"""\
version: 1
site: acme-prod
policies: policies/
state: state
tick: 90s
vaults:
  s3-west: {{type: s3, bucket: acme-dr, account: vault, region: us-west-2}}
  nas: {{type: directory, path: /mnt/dr, provider: onprem, region: office}}
aws:
  accounts:
    prod: {{id: "111111111111"}}
    vault: {{id: "222222222222", role_arn: "arn:aws:iam::222222222222:role/drorch", external_id: "acme:7"}}
encryption:
  recipients: [{RECIPIENT}]
  identities: [{{systemd: drill-identity}}, {{file: keys/drill}}]
signing:
  key: {{file: keys/signing}}
  trusted: [{PUBLIC}, {{key: {PUBLIC}, until: 2027-01-01T00:00Z}}]
credentials:
  orders-db: {{file: keys/orders-db, applications: [shop]}}
  bank-db: {{env: BANK_DB}}
allow_unknown_regions: false
tools: {{postgres: [/usr/lib/postgresql/17/bin]}}
limits: {{dumps: 2, dumps_per_server: 1, copies: {{ec2: 40}}}}
drills: {{scratch: {{postgres: {{connection: {{host: scratch, user: drill, password: {{file: keys/scratch}}}}}}}}}}
defaults: {{keep: {{daily: 7}}, drill: {{every: 30d, from: [nas]}}}}
http: {{listen: "127.0.0.1:9188"}}
brake: {{share: 20%, count: 10, per: 1d}}
grace: 2d
"""

SHORT = "version: 1\nsite: acme\npolicies: policies\n"


def load(tmp_path: Path, text: str) -> Config:
    path = tmp_path / "drorch.yaml"
    path.write_text(text, encoding="utf-8")
    return load_config(path, vault_options=VAULT_OPTIONS, regions=frozenset({"us-east-1", "us-west-2"}))


def refused(tmp_path: Path, text: str) -> list[str]:
    """The findings, without the folder of the test."""
    with pytest.raises(InvalidInput, match="the host configuration is invalid") as caught:
        load(tmp_path, text)
    assert caught.value.exit_code == 3
    return [str(finding).removeprefix(f"{tmp_path}/") for finding in caught.value.findings]


# --- where it is found ---------------------------------------------------------------------------------------------


def test_the_places_are_tried_in_the_order_of_the_contract(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("explicit", "variable", "drorch.yaml", "system")
    places = [tmp_path / name for name in names]
    for place in places:
        place.write_text(SHORT)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(config_module, "SYSTEM_PLACE", places[3])
    environ = {"DRORCH_CONFIG": str(places[1])}
    assert find_config(places[0], environ) == places[0]
    assert find_config(None, environ) == places[1]
    assert find_config(None, {}) == Path("drorch.yaml")
    places[2].unlink()
    assert find_config(None, {"DRORCH_CONFIG": ""}) == places[3]


def test_a_place_that_was_named_must_hold_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "drorch.yaml").write_text(SHORT)
    monkeypatch.chdir(tmp_path)
    for explicit, environ, how in [
        (tmp_path / "no", {}, "--config"),
        (None, {"DRORCH_CONFIG": str(tmp_path / "no")}, "$DRORCH_CONFIG"),
    ]:
        with pytest.raises(NotFound, match="there is no configuration at") as caught:
            find_config(explicit, environ)
        assert how in caught.value.cause


def test_without_any_the_places_are_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(config_module, "SYSTEM_PLACE", tmp_path / "system")
    with pytest.raises(NotFound) as caught:
        find_config(None, {})
    for place in ("--config", "$DRORCH_CONFIG", "./drorch.yaml", str(tmp_path / "system")):
        assert place in caught.value.hint
    assert caught.value.exit_code == 3


# --- what it resolves to -------------------------------------------------------------------------------------------


def test_a_full_configuration_is_resolved(tmp_path: Path) -> None:
    config = load(tmp_path, FULL)
    assert (config.site, config.tick) == ("acme-prod", timedelta(seconds=90))
    assert (config.policies, config.state) == (tmp_path / "policies", tmp_path / "state")
    assert config.vaults["s3-west"].domain == FailureDomain("aws", "us-west-2", "vault")
    assert config.vaults["s3-west"].options == Bucket(bucket="acme-dr", region="us-west-2", account="vault")
    assert (config.vaults["nas"].name, config.vaults["nas"].type) == ("nas", "directory")
    assert config.aws.accounts["vault"].role_arn == "arn:aws:iam::222222222222:role/drorch"
    assert config.aws.accounts["vault"].external_id == "acme:7"
    assert config.encryption.recipients == (RECIPIENT,)
    assert [entry.trusted.until for entry in config.signing.trusted] == [None, datetime(2027, 1, 1, tzinfo=UTC)]
    assert config.credentials["orders-db"].applications == ("shop",)
    assert config.credentials["bank-db"].applications == ()
    assert config.tools == {"postgres": ("/usr/lib/postgresql/17/bin",)}
    assert (config.limits.dumps, config.limits.dumps_per_server, config.limits.copies) == (2, 1, {"ec2": 40})
    assert config.defaults == {"keep": Keep(daily=7), "drill": DrillRule(every="30d", from_=("nas",))}
    assert config.http.listen is not None
    assert (config.http.listen.host, config.http.listen.port) == ("127.0.0.1", 9188)
    assert not config.allow_unknown_regions
    assert config.brake == BrakeRule(share=20, count=10, per=timedelta(days=1))
    assert config.grace == timedelta(days=2)


def test_secrets_are_named_never_read_and_files_lie_beside_the_configuration(tmp_path: Path) -> None:
    """None of these files exists."""
    config = load(tmp_path, FULL)
    assert config.signing.key == SecretRef(file=str(tmp_path / "keys/signing"))
    assert config.encryption.identities[1].secret == SecretRef(file=str(tmp_path / "keys/drill"))
    assert config.credentials["orders-db"].secret == SecretRef(file=str(tmp_path / "keys/orders-db"))
    assert config.credentials["bank-db"].secret == SecretRef(env="BANK_DB")
    connection = config.drills.scratch["postgres"].connection
    assert connection is not None
    assert connection.password == SecretRef(file=str(tmp_path / "keys/scratch"))


def test_what_is_left_out_has_the_defaults_of_the_contract(tmp_path: Path) -> None:
    config = load(tmp_path, SHORT)
    assert (config.state, config.tick) == (Path("/var/lib/drorch"), timedelta(seconds=60))
    assert (config.limits.dumps, config.limits.dumps_per_server, config.limits.copies) == (4, 1, {})
    assert (config.vaults, config.credentials, config.defaults) == ({}, {}, {})
    assert config.encryption.recipients == ()
    assert config.signing.key is None
    assert config.http.listen is None
    assert (config.brake, config.grace) == (BrakeRule(), timedelta(days=3))
    assert (config.brake.share, config.brake.count, config.brake.per) == (20, 10, timedelta(days=1))


def test_what_a_brake_leaves_out_has_the_defaults_of_the_contract(tmp_path: Path) -> None:
    assert load(tmp_path, SHORT + "brake: {share: 100%}\n").brake == BrakeRule(share=100)
    assert load(tmp_path, SHORT + "brake: {per: 7d}\n").brake == BrakeRule(per=timedelta(days=7))


def test_everything_is_listed_at_most_hourly_and_only_where_that_is_asked_for(tmp_path: Path) -> None:
    assert load(tmp_path, SHORT).unprotected.every is None
    assert load(tmp_path, SHORT + "unprotected: {every: 2h}\n").unprotected.every == timedelta(hours=2)
    assert "is too often" in str(refused(tmp_path, SHORT + "unprotected: {every: 59m}\n"))


def test_audits_are_asked_for_by_the_day_at_the_most_and_only_where_that_is_said(tmp_path: Path) -> None:
    assert load(tmp_path, SHORT).audits.every is None
    assert load(tmp_path, SHORT + "audits: {every: 30d}\n").audits.every == timedelta(days=30)
    assert "is too often" in str(refused(tmp_path, SHORT + "audits: {every: 23h}\n"))


def test_what_is_ignored_names_places_that_there_are_or_none(tmp_path: Path) -> None:
    ignore = "ignore:\n  - {kind: ebs, tags: {role: scratch}, reason: built anew}\n"
    (entry,) = load(tmp_path, SHORT + ignore).ignore
    assert (entry.account, entry.region, entry.tags) == (None, None, {"role": "scratch"})
    found = str(refused(tmp_path, SHORT + ignore.replace("kind: ebs", "kind: ebs, account: nobody")))
    assert "unknown account nobody" in found
    assert "reason is missing" in str(refused(tmp_path, SHORT + ignore.replace(", reason: built anew", "")))


def test_a_vault_has_the_lock_that_it_is_given_and_none_otherwise(tmp_path: Path) -> None:
    vaults = "vaults: {a: {type: s3, bucket: b, region: us-east-1, LOCK}}\n"
    for text, rule in (
        ("lock: {for: 35d}", LockRule(for_=timedelta(days=35))),
        ("lock: {for: 1d, mode: governance}", LockRule(for_=timedelta(days=1), mode=LockMode.GOVERNANCE)),
        ("prefix: x", None),
    ):
        options = load(tmp_path, SHORT + vaults.replace("LOCK", text)).vaults["a"].options
        assert isinstance(options, Bucket)
        assert options.lock == rule


def test_a_scratch_server_is_private_by_that_word(tmp_path: Path) -> None:
    assert load(tmp_path, SHORT + "drills: {scratch: {postgres: private}}\n").drills.scratch["postgres"].private
    assert not load(tmp_path, FULL).drills.scratch["postgres"].private


def test_an_address_may_be_of_ipv6(tmp_path: Path) -> None:
    config = load(tmp_path, SHORT + 'http: {listen: "[::1]:9188"}\n')
    assert config.http.listen == Listen.model_validate("[::1]:9188")
    assert config.http.listen is not None
    assert config.http.listen.host == "::1"


def test_new_regions_pass_where_the_host_allows_them(tmp_path: Path) -> None:
    vault = "vaults: {v: {type: s3, bucket: b, region: mars-north-1}}\n"
    assert "unknown region" in refused(tmp_path, SHORT + vault)[0]
    assert load(tmp_path, SHORT + vault + "allow_unknown_regions: true\n").vaults["v"].domain.region == "mars-north-1"


def test_regions_off_aws_are_free(tmp_path: Path) -> None:
    text = "vaults: {v: {type: s3, bucket: b, region: DFW, endpoint: 'https://x', provider: rackspace}}\n"
    assert load(tmp_path, SHORT + text).vaults["v"].domain == FailureDomain("rackspace", "DFW")


# --- every way of being wrong --------------------------------------------------------------------------------------

LONG = FULL.replace(RECIPIENT, "RECIPIENT").replace(PUBLIC, "PUBLIC")


@pytest.mark.parametrize(
    ("old", "new", "place", "message", "hint"),
    [
        ("site:", "sit:", "2:1", "unknown key sit", "did you mean site?"),
        ("site: acme-prod", "site: acme-prod\nsite: x", "3:1", "site stands here twice", "first in line 2"),
        ("site: acme-prod\n", "", "1:1", "site is missing", "acme-prod"),
        ("site: acme-prod", "site: acme.prod", "2:7", "'acme.prod' is not a name", "a-z, 0-9"),
        ("version: 1", "version: 2", "1:10", "version 2 is not in this version", ""),
        ("policies: policies/", "policies: []", "3:11", "policies must be text, not a list", ""),
        ("tick: 90s", "tick: 90", "5:7", "a bare number has no unit", "write 90m"),
        ("type: s3,", "type: s4,", "7:19", "unknown vault type 's4'", "directory, s3"),
        ("type: s3, ", "", "7:12", "type is missing", "directory, s3"),
        ("bucket:", "bukket:", "7:23", "unknown key bukket", "did you mean bucket?"),
        ("bucket: acme-dr, ", "", "7:12", "bucket is missing", ""),
        ("region: us-west-2", "region: us-west-2, lock: 30d", "7:81", "lock must be a mapping, not text", "{for: 35d}"),
        ("region: us-west-2", "region: us-west-2, lock: ", "7:81", "lock must be a mapping, not nothing", "{for: 35d}"),
        ("region: us-west-2", "region: us-west-2, lock: {for: 3}", "7:87", "'3' is not a duration", "write 90m"),
        ("region: us-west-2", "region: us-west-2, lock: {mode: governance}", "7:81", "for is missing", ""),
        (
            "region: us-west-2",
            "region: us-west-2, lock: {for: 1d, mode: legal}",
            "7:97",
            "mode must be one of compliance",
            "",
        ),
        ("region: office", "region: office, lock: {for: 3d}", "8:75", "a directory has no locks", "a vault of type s3"),
        ("share: 20%", "share: 20", "28:16", "share must be a percentage, not a bare number", "such as 20%"),
        ("share: 20%", "share: 0.2", "28:16", "share must be a percentage, not a bare number", "such as 20%"),
        ("share: 20%", "share: 0%", "28:16", "share must be at least 1", ""),
        ("share: 20%", "share: 101%", "28:16", "share must be at most 100", ""),
        ("share: 20%", "share: most", "28:16", "'most' is not a share", "such as 20%"),
        ("count: 10", "count: 0", "28:28", "count must be greater than 0", ""),
        ("per: 1d", "per: 1", "28:37", "'1' is not a duration", "write 90m"),
        ("per: 1d", "pre: 1d", "28:32", "unknown key pre", "did you mean per?"),
        ("grace: 2d", "grace: 0d", "29:8", "'0d' is no time at all", "longer than zero"),
        ("keep: {daily: 7}", "keep: ", "26:18", "keep must not be empty", "leave the key out"),
        ("account: vault", "account: valt", "7:49", "unknown account valt", "did you mean vault?"),
        ("region: us-west-2", "region: us-wst-2", "7:64", "unknown region 'us-wst-2'", "did you mean us-west-2?"),
        ("account: vault", "endpoint: x", "7:12", "with endpoint a provider is required", ""),
        ("  nas:", "  n.as:", "8:3", "'n.as' is not a vault's name", "names with a dot belong to native snapshots"),
        ("  nas:", "  N:", "8:3", "'N' is not a name", "a-z, 0-9"),
        ("region: office", "regoin: office", "8:59", "unknown key regoin", "did you mean region?"),
        ('"111111111111"', "111111111111", "11:16", "id must be text, not a number", "put it in quotes"),
        ('"111111111111"', '"1111"', "11:11", "an account id is twelve digits", "in quotes"),
        ("::222222222222:", "::333333333333:", "12:12", "role_arn is of account 333333333333", ""),
        ("arn:aws:iam::222222222222:role/drorch", "drorch", "12:12", "role_arn is not the ARN of a role", "arn:aws"),
        ('"acme:7"', '"two words"', "12:12", "this is not an external id", "2 to 1224 letters"),
        ('id: "111111111111"', 'id: "111111111111", external_id: abc', "11:11", "belongs to role_arn", "AssumeRole"),
        ("[RECIPIENT]", "[]", "14:15", "recipients must not be empty", ""),
        ("[RECIPIENT]", "[age1nonsense]", "14:16", "this is not an age recipient", "age1..."),
        ("[RECIPIENT]", "[AGE-SECRET-KEY-1HUNTER2]", "14:16", "a secret key is no recipient", "begins with age1"),
        ("{systemd: drill-identity}", "HUNTER2", "15:16", "a secret does not stand in the config", "{systemd: NAME}"),
        ("{systemd: drill-identity}", "{systemd: a/b}", "15:26", "systemd credential has no slash", "LoadCredential"),
        ("{file: keys/signing}", "HUNTER2", "17:8", "a secret does not stand in the configuration", "{file: PATH}"),
        ("[PUBLIC,", "[RWnonsense,", "18:13", "this is not a minisign public key", "RW..."),
        ("2027-01-01T00:00Z", "soon", "18:71", "until is not a time", "2027-01-01T00:00Z"),
        ("2027-01-01T00:00Z", "2027-01-01T00:00", "18:71", "until has no time zone", "2027-01-01T00:00Z"),
        ("{file: keys/orders-db, applications: [shop]}", "HUNTER2", "20:14", "a secret does not stand", "{file: PATH}"),
        ("{file: keys/orders-db,", "{password: HUNTER2,", "20:14", "a secret does not stand", "{file: PATH}"),
        ("{file: keys/orders-db,", "{file: a, env: HUNTER2,", "20:14", "a secret does not stand", "{file: PATH}"),
        ("applications: [shop]", "application: [shop]", "20:37", "unknown key application", "mean applications?"),
        ("[/usr/lib/", "[usr/lib/", "23:20", "must be an absolute path", ""),
        ("tools: {postgres", "tools: {postgresql", "23:9", "unknown kind postgresql", "did you mean postgres?"),
        ("scratch: {postgres", "scratch: {files", "25:20", "kind files has no scratch", "leave it out"),
        ("tools: {", "paths: {shop: [/srv, srv]}\ntools: {", "23:22", "'srv' is not an absolute path", ""),
        ("tools: {", "paths: {shop: [/srv/]}\ntools: {", "23:16", "'/srv/' is not a plain path", "no slash at the end"),
        ("tools: {", "paths: {shop: /srv}\ntools: {", "23:15", "shop must be a list", ""),
        ('"111111111111"', '"222222222222"', "12:17", "account 222222222222 has two names, prod and vault", "one name"),
        ("dumps: 2", "dumps: 0", "24:17", "dumps must be greater than 0", ""),
        ("{connection: {host", "{conection: {host", "25:31", "unknown key conection", "did you mean connection?"),
        ("{file: keys/scratch}", "HUNTER2", "25:82", "a secret does not stand in the configuration", "{file: PATH}"),
        ("keep: {daily: 7}", "keep: {daly: 7}", "26:19", "unknown key daly", "did you mean daily?"),
        ("from: [nas]", "from: [naz]", "26:57", "unknown vault naz", "did you mean nas?"),
        ('"127.0.0.1:9188"', "9188", "27:16", "listen must be HOST:PORT", "127.0.0.1:9188"),
        ('"127.0.0.1:9188"', '"localhost:99999"', "27:16", "listen must be HOST:PORT", "127.0.0.1:9188"),
    ],
)
def test_one_error_has_its_place_its_message_and_its_hint(
    tmp_path: Path, old: str, new: str, place: str, message: str, hint: str
) -> None:
    assert old in LONG
    changed = LONG.replace(old, new, 1).replace("PUBLIC", PUBLIC).replace("RECIPIENT", RECIPIENT)
    shown = refused(tmp_path, changed)
    matching = [line for line in shown if line.startswith(f"drorch.yaml:{place}: ") and message in line]
    assert matching, shown
    assert hint in matching[0].partition(message)[2]
    assert not any("HUNTER2" in line for line in shown)


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        ("path: /mnt/dr", "path: /mnt/dr/", "vault b is in the same place as vault a"),
        ("path: /mnt/dr", "path: /mnt/x/../dr/deep", "vaults a and b lie one inside the other"),
        ("path: /mnt/dr/deep", "path: /mnt/dr", "vaults a and b lie one inside the other"),
        ("bucket: dr", "bucket: dr", "vault b is in the same place as vault a"),
        ("bucket: dr, prefix: x/y", "bucket: dr, prefix: x", "vaults a and b lie one inside the other"),
        ("bucket: dr", "bucket: dr, prefix: x", "vaults a and b lie one inside the other"),
        ("path: /mnt/dr", "path: /mnt/dr2", ""),
        ("bucket: dr, prefix: x", "bucket: dr, prefix: xy", ""),
        ("bucket: dr, endpoint: 'https://a'", "bucket: dr, endpoint: 'https://b'", ""),
    ],
)
def test_two_vaults_have_two_places(tmp_path: Path, first: str, second: str, message: str) -> None:
    vaults = "".join(
        f"  {name}: {{type: {'directory' if 'path' in place else 's3'}, provider: x, region: us-east-1, {place}}}\n"
        for name, place in (("a", first), ("b", second))
    )
    text = f"{SHORT}vaults:\n{vaults}"
    if message:
        assert refused(tmp_path, text) == [
            f"drorch.yaml:6:3: {message} (a vault has a bucket and prefix, or a folder, of its own)"
        ]
    else:
        assert set(load(tmp_path, text).vaults) == {"a", "b"}


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        ("DFW, container: dr", "DFW, container: dr", "the same place"),
        ("DFW, container: dr, prefix: x", "DFW, container: dr", "one inside the other"),
        ("DFW, container: dr", "ORD, container: dr", ""),
        ("DFW, container: dr", "DFW, container: ds", ""),
    ],
)
def test_two_swift_vaults_have_two_places(tmp_path: Path, first: str, second: str, message: str) -> None:
    """A container belongs to its region."""
    text = f"{SHORT}vaults:\n" + "".join(
        f"  {name}: {{type: swift, provider: rackspace, region: {place}}}\n"
        for name, place in (("a", first), ("b", second))
    )
    path = tmp_path / "drorch.yaml"
    path.write_text(text)
    if message:
        with pytest.raises(InvalidInput, match=message):
            load_config(path, vault_options={"swift": swift.Options})
    else:
        assert set(load_config(path, vault_options={"swift": swift.Options}).vaults) == {"a", "b"}


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        ("acme, container: dr-one", "acme, container: dr-one", "the same place"),
        ("acme, container: dr-one, prefix: x", "acme, container: dr-one", "one inside the other"),
        ("acme, container: dr-one", "other, container: dr-one", ""),
        ("acme, container: dr-one", "acme, container: dr-two", ""),
    ],
)
def test_two_azure_vaults_have_two_places(tmp_path: Path, first: str, second: str, message: str) -> None:
    """A container belongs to its account, whatever regions the configuration tells."""
    text = f"{SHORT}vaults:\n" + "".join(
        f"  {name}: {{type: azure, region: {name}, account_name: {place}}}\n"
        for name, place in (("a", first), ("b", second))
    )
    path = tmp_path / "drorch.yaml"
    path.write_text(text)
    if message:
        with pytest.raises(InvalidInput, match=message):
            load_config(path, vault_options=store_options())
    else:
        assert set(load_config(path, vault_options=store_options()).vaults) == {"a", "b"}


def test_a_configuration_may_name_a_vault_of_every_type(tmp_path: Path) -> None:
    text = f"""{SHORT}vaults:
  s3: {{type: s3, bucket: acme-dr, account: prod, region: us-west-2}}
  gcs: {{type: gcs, bucket: acme-dr, region: europe-west1}}
  azure: {{type: azure, account_name: acmedr, container: acme-dr, region: westeurope}}
  swift: {{type: swift, container: acme-dr, provider: rackspace, region: DFW}}
  directory: {{type: directory, path: {tmp_path}, provider: onprem, region: office}}
aws: {{accounts: {{prod: {{id: "111111111111"}}}}}}
"""
    path = tmp_path / "drorch.yaml"
    path.write_text(text)
    assert sorted(load_config(path, vault_options=store_options()).vaults) == sorted(store_options())


def test_a_link_to_a_vaults_folder_is_that_folder(tmp_path: Path) -> None:
    (tmp_path / "dr").mkdir()
    (tmp_path / "link").symlink_to("dr")
    vaults = "".join(
        f"  {name}: {{type: directory, provider: x, region: y, path: {tmp_path / name}}}\n" for name in ("dr", "link")
    )
    assert "vault link is in the same place as vault dr" in refused(tmp_path, f"{SHORT}vaults:\n{vaults}")[0]


def test_every_error_is_shown_at_once(tmp_path: Path) -> None:
    text = (
        "version: 1\nsit: x\ntick: 5\nvaults:\n  a: {type: s3, lock: 1, bucket: b, account: no, region: mars}\n"
        "  b: 5\nsigning: {key: HUNTER2}\nlimits: {dumps: none}\ndefaults: {drill: {every: 7d, from: [c]}}\n"
    )
    shown = refused(tmp_path, text)
    assert [line.split(": ")[0].removeprefix("drorch.yaml:") for line in shown] == [
        *["1:1", "1:1", "2:1", "3:7", "5:23", "5:46", "5:58", "6:6", "7:16", "8:17", "9:38"]
    ], shown
    assert not any("HUNTER2" in line for line in shown)


def test_what_is_no_configuration_at_all_is_refused_with_its_place(tmp_path: Path) -> None:
    assert refused(tmp_path, "")[0].startswith("drorch.yaml:1:1: the file is empty")
    assert refused(tmp_path, "a: [\n")[0].startswith("drorch.yaml:2:1: not YAML: ")
    (tmp_path / "drorch.yaml").write_bytes(b"site: \xff\n")
    with pytest.raises(InvalidInput, match="1:7: not UTF-8 text"):
        load_config(tmp_path / "drorch.yaml", vault_options=VAULT_OPTIONS)
    with pytest.raises(NotFound, match="there is no configuration at"):
        load_config(tmp_path / "absent.yaml", vault_options=VAULT_OPTIONS)
