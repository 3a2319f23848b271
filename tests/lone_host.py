"""The files of a host whose vaults are folders and whose sources lie in an embedded AWS."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from drorch.crypto.age import new_identity
from drorch.crypto.minisign import SecretKey
from drorch.demo.aws import ACCOUNT

VAULT_ID = "222222222222"
"""The account `vault`, for what is copied out of `prod`."""


def furnish(folder: Path, vaults: Sequence[str], **more: object) -> Path:
    """Keys, folders and a configuration of site acme, in a folder that is there; the configuration's path.

    `more` are keys of the configuration besides.
    """
    for name in (*vaults, "policies"):
        (folder / name).mkdir()
    key, (identity, recipient) = SecretKey.generate(), new_identity()
    for name, text in (("signing.key", key.text()), ("identity.txt", identity + "\n")):
        (folder / name).touch(mode=0o600)
        (folder / name).write_text(text)
    told = {
        "version": 1,
        "site": "acme",
        "policies": str(folder / "policies"),
        "state": str(folder / "state"),
        "vaults": {
            name: {"type": "directory", "path": str(folder / name), "provider": "onprem", "region": name}
            for name in vaults
        },
        "aws": {
            "accounts": {
                "prod": {"id": ACCOUNT},
                "vault": {"id": VAULT_ID, "role_arn": f"arn:aws:iam::{VAULT_ID}:role/drorch"},
            }
        },
        "encryption": {"recipients": [recipient], "identities": [{"file": str(folder / "identity.txt")}]},
        "signing": {"key": {"file": str(folder / "signing.key")}},
    }
    config = folder / "drorch.yaml"
    config.write_text(json.dumps(told | more))
    return config


def week_offset() -> int:
    """Minutes of `offset:` with which a weekly slot began an hour ago: no test crosses into the next one."""
    into = (datetime.now(UTC) - timedelta(hours=1) - datetime(1970, 1, 5, tzinfo=UTC)) % timedelta(days=7)
    return max(1, into // timedelta(minutes=1))
