"""The files of an installation that is measured: a signing key, a configuration, policies."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from drorch.crypto import minisign

NATIVE_CONFIG = """\
version: 1
site: bench
policies: policies/
state: state
aws: {accounts: {prod: {id: "123456789012"}}}
signing: {key: {file: minisign.key}}
"""
"""Of a host without vaults: native snapshots alone."""


def install(folder: Path, config: str, policies: Mapping[str, str]) -> minisign.SecretKey:
    """Write them into a folder that is there, policies by application; the key that signs, `minisign.key` there."""
    key = minisign.SecretKey.generate()
    (folder / "minisign.key").write_text(key.text())
    (folder / "minisign.key").chmod(0o600)
    (folder / "drorch.yaml").write_text(config)
    (folder / "policies").mkdir()
    for application, text in policies.items():
        (folder / "policies" / f"{application}.yaml").write_text(text)
    return key
