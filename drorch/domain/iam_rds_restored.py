"""What the role `restore` may do in RDS: make what bears a restore's or a drill's tag, let go what a drill made.

Resources and condition keys: https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonrds.html.
RDS has no key for the call that a tag is given in, so that what is ended must have the name of a drill, too: a tag
alone could be given to any database.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from drorch.domain.iam import Conditions, Statement
from drorch.domain.native_restore import DRILL_NAMES, TAG_DRILL, TAG_RESTORE

_TAGGED: Conditions = {"ForAnyValue:StringEquals": {"aws:TagKeys": [TAG_DRILL, TAG_RESTORE]}}
_OF_A_DRILL: Conditions = {"Null": {f"aws:ResourceTag/{TAG_DRILL}": "false"}}
_FROM = ("snapshot:drorch-*", "cluster-snapshot:drorch-*")
_MADE = ("db:*", "cluster:*")
_INTO = ("subgrp:*", "og:*", "pg:*", "cluster-pg:*")
_ENDED = {"rds:DeleteDBInstance": "db", "rds:DeleteDBCluster": "cluster"}
_TAGGING = "rds:AddTagsToResource"


def restored_in_rds(actions: Sequence[str], mine: Sequence[str]) -> Iterator[Statement]:
    """The statements for `actions`; `mine` are the beginnings of the account's ARNs in each region.

    A database is restored into groups that are there: subnets, options, parameters.
    """
    making = tuple(action for action in actions if action not in _ENDED and action != _TAGGING)
    arns = tuple(f"{prefix}:{kind}" for prefix in mine for kind in (*_FROM, *_MADE, *_INTO))
    made = tuple(f"{prefix}:{kind}" for prefix in mine for kind in _MADE)
    if making and arns:
        yield Statement("RestoreRds", making, arns, _TAGGED)
    if _TAGGING in actions and made:
        yield Statement("TagRestoredRds", (_TAGGING,), made, _TAGGED)
    for action, kind in _ENDED.items():
        if action in actions and mine:
            own = tuple(f"{prefix}:{kind}:{DRILL_NAMES}*" for prefix in mine)
            yield Statement(f"LetGoDrillsRds{kind.capitalize()}", (action,), own, _OF_A_DRILL)
