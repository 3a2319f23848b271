"""What is seen of a loss without touching what is lost."""

from __future__ import annotations

from pathlib import Path

import pytest
from worlds import AWAY, EU, HOME, ORDERS, VOLUMES, WEST, Installation

from drorch.app.databases import DatabaseLists
from drorch.app.simulation import Picture, picture
from drorch.aws import AMBIENT, AwsAccount
from drorch.domain.errors import Unavailable
from drorch.domain.loss import parse_loss
from drorch.domain.model import FailureDomain
from drorch.domain.simulation import ApplicationLoss, Fate, Verdict, simulate
from drorch.wiring.fence import Fence, FencedAccounts

PROD, VAULT = AwsAccount("111111111111"), AwsAccount("222222222222", "arn:aws:iam::222222222222:role/drorch")


def look(world: Installation) -> Picture:
    """By a new process, as `simulate` looks."""
    observer, databases = world.reconciler.observer, DatabaseLists(world.cache)
    return picture(world.load(), observer, databases, (), world.host.now())


def lost(seen: Picture, *words: str) -> ApplicationLoss:
    (known,) = seen.known
    return simulate(known.policy, known.catalogue, known.places, [parse_loss(word) for word in words], seen.at)


def test_a_native_copy_is_known_from_the_records_in_surviving_vaults_when_its_region_may_not_be_asked(
    tmp_path: Path,
) -> None:
    world = Installation(tmp_path, VOLUMES)
    world.run()
    world.restart(without=["cache"])
    world.faults("ebs").black_hole()
    world.faults(WEST).black_hole()
    seen = look(world)
    (data,) = lost(seen, "region:us-east-1").resources
    assert [(each.vault, each.recorded) for each in data.left] == [(AWAY, True)]
    assert (data.fate, data.taken) == (Fate.LOST, (HOME,))
    assert {HOME, AWAY, WEST} == seen.unread.keys()
    assert (seen.seen[AWAY], seen.seen[EU]) == (None, seen.at)


def test_what_was_listed_counts_on_from_the_cache_with_the_time_of_its_listing(tmp_path: Path) -> None:
    world = Installation(tmp_path, ORDERS)
    world.run()
    before = look(world).seen[EU]
    world.restart()
    for vault in (WEST, EU):
        world.faults(vault).black_hole()
    world.clock.turn(hours=5)
    seen = look(world)
    assert seen.seen[EU] == before
    found = lost(seen, "provider:aws")
    assert [each.vault for each in found.resources[0].left] == [EU]
    assert found.resources[0].data_loss is not None
    assert found.resources[0].data_loss.total_seconds() >= 5 * 3600
    assert found.verdict is Verdict.NO_PROMISE


# --- the fence -------------------------------------------------------------------------------------------------------


def fence(*words: str, offline: bool = False, **accounts: AwsAccount) -> Fence:
    home = FailureDomain("aws", "us-east-1", "prod")
    return Fence(
        [parse_loss(word) for word in words], [home], accounts or {"prod": PROD, "vault": VAULT}, offline=offline
    )


def aws(account: str, region: str) -> FailureDomain:
    return FailureDomain("aws", region, account)


@pytest.mark.parametrize("words", [("region:us-east-1",), ("region",), ("zone", "region")])
def test_a_lost_region_is_not_asked_in_any_account_and_others_are(words: tuple[str, ...]) -> None:
    made = fence(*words)
    assert made.why(aws("prod", "us-east-1")) == made.why(aws("vault", "us-east-1")) == f"{words[-1]} is lost"
    assert made.why(aws("prod", "us-west-2")) == made.why(FailureDomain("gcp", "europe-west1")) == ""


@pytest.mark.parametrize("word", ["account:prod", "account"])
def test_an_account_whose_credentials_take_the_roles_on_takes_those_accounts_along(word: str) -> None:
    made = fence(word)
    assert made.why(aws("prod", "us-west-2")) == f"{word} is lost"
    assert made.why(aws("vault", "us-west-2")) == (
        "its role is taken on with the credentials of account prod, which is lost"
    )
    assert made.why(FailureDomain("gcp", "europe-west1")) == ""
    elsewhere = fence(word, prod=AwsAccount("111111111111", "arn:aws:iam::111111111111:role/drorch"), vault=VAULT)
    assert elsewhere.why(aws("vault", "us-west-2")) == "", "this host's own credentials are of no account that is lost"


def test_the_provider_is_lost_everywhere_and_tampering_and_a_zone_silence_nobody() -> None:
    assert fence("provider:aws").why(aws("vault", "eu-west-1"))
    assert not fence("tampering", "zone:us-east-1a").why(aws("prod", "us-east-1"))


def test_offline_nothing_is_asked() -> None:
    made = fence("region:us-east-1", offline=True)
    assert made.why(FailureDomain("gcp", "europe-west1")) == "--offline"
    assert made.why(aws("prod", "us-east-1")) == "region:us-east-1 is lost"


def test_no_client_is_made_of_what_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}.items():
        monkeypatch.setenv(name, value)
    accounts = FencedAccounts({"prod": AwsAccount()}, fence("region:us-east-1").why)
    for service in ("ec2", "rds", "kms", "s3", "sts"):
        with pytest.raises(Unavailable, match="region:us-east-1 is lost"):
            accounts.client(service, "prod", "us-east-1")
    with pytest.raises(Unavailable):
        accounts.now("prod", "us-east-1")
    assert accounts.client("ec2", "prod", "us-west-2")
    assert accounts.client("s3", AMBIENT, "us-east-1", endpoint="http://127.0.0.1:1"), "another provider's region"
