"""What RDS keeps that is newer than a point, and the command that brings it back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from drorch.domain.automated import Automated, Replica, Replicated
from drorch.domain.newer_state import BACKUPS, REPLICA, REPLICATED, newer_states

CUT = datetime(2026, 11, 20, 9, tzinfo=UTC)
HOUR = timedelta(hours=1)
ARN = "arn:aws:rds:us-west-2:123456789012:auto-backup:ab-1"
KEPT = Automated(
    7,
    CUT + 3 * HOUR,
    replicated=(Replicated("us-west-2", "replicating", 7, CUT + 2 * HOUR, arn=ARN),),
    replicas=(Replica("shop-ledger-r", "eu-west-1", "replicating"),),
)


def told(kept: Automated = KEPT, kind: str = "rds-instance", at: datetime | None = None) -> list[tuple[str, str]]:
    found = newer_states(kept, kind, "shop-ledger", "us-east-1", "shop-ledger-2", CUT, at)
    return [(state.what, state.command) for state in found]


def test_the_newest_comes_first_and_replicas_last_each_with_its_command() -> None:
    assert told() == [
        (
            BACKUPS,
            "aws rds restore-db-instance-to-point-in-time --region us-east-1"
            " --target-db-instance-identifier shop-ledger-2 --source-db-instance-identifier shop-ledger"
            " --restore-time 2026-11-20T12:00:00Z",
        ),
        (
            REPLICATED,
            "aws rds restore-db-instance-to-point-in-time --region us-west-2"
            f" --target-db-instance-identifier shop-ledger-2 --source-db-instance-automated-backups-arn {ARN}"
            " --restore-time 2026-11-20T11:00:00Z",
        ),
        (REPLICA, "aws rds promote-read-replica --region eu-west-1 --db-instance-identifier shop-ledger-r"),
    ]


def test_an_instant_that_is_wanted_bounds_it_and_leaves_replicas_out() -> None:
    found = newer_states(KEPT, "rds-instance", "a", "us-east-1", "b", CUT, CUT + HOUR)
    assert [(state.what, state.as_of) for state in found] == [(BACKUPS, CUT + HOUR), (REPLICATED, CUT + HOUR)]
    assert told(at=CUT) == []


def test_what_is_no_newer_than_the_point_is_not_told() -> None:
    assert told(Automated(7, CUT, replicated=(Replicated("us-west-2", latest=CUT - HOUR, arn=ARN),))) == []


def test_what_was_not_seen_or_follows_no_more_is_not_told() -> None:
    broken = Automated(
        replicated=(Replicated("us-west-2", latest=CUT + HOUR, unseen="no answer", arn=ARN),),
        replicas=(Replica("r1", "eu-west-1", why="it stopped"), Replica("r2", "eu-west-1", unseen="no answer")),
    )
    assert told(broken) == []


def test_clusters_have_commands_of_their_own() -> None:
    (backups, command), (_, promoted) = told(Automated(7, CUT + HOUR, replicas=KEPT.replicas), "rds-cluster")
    assert backups == BACKUPS
    assert "restore-db-cluster-to-point-in-time --region us-east-1 --db-cluster-identifier shop-ledger-2" in command
    assert "--source-db-cluster-identifier shop-ledger --restore-to-time 2026-11-20T10:00:00Z" in command
    assert (
        promoted == "aws rds promote-read-replica-db-cluster --region eu-west-1 --db-cluster-identifier shop-ledger-r"
    )
