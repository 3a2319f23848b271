"""Who may take on a role: the trust policy of what `drorch` assumes in another account.

https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_common-scenarios_third-party.html (the external id), and
"AWS JSON policy elements: Principal" there: an account as principal means whoever that account's own policies let.
"""

from __future__ import annotations

from typing import Any

from drorch.domain.iam import VERSION
from drorch.domain.iam_roles import AccountUse


def trust(use: AccountUse, role: str) -> dict[str, Any] | None:
    """The trust policy of `role`; None where nobody of drorch's takes it on, or the host's own account is not known.

    A person brings back what is lost: who takes on `restore` is for the account to say.
    """
    if role == "restore" or not use.role_arn or not use.trusts:
        return None
    partition = use.role_arn.split(":")[1]
    statement: dict[str, Any] = {
        "Sid": "HostOfDrorch",
        "Effect": "Allow",
        "Principal": {"AWS": [f"arn:{partition}:iam::{account}:root" for account in sorted(use.trusts)]},
        "Action": "sts:AssumeRole",
    }
    if use.external_id:
        statement["Condition"] = {"StringEquals": {"sts:ExternalId": use.external_id}}
    return {"Version": VERSION, "Statement": [statement]}
