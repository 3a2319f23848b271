"""What a person sees of `vault check` when a store has limits, and breaks a clause: on a configured Azure container."""

from __future__ import annotations

import re
from datetime import timedelta

import azurite
from desks import Desk
from dialects import AZURE
from store_proxy import StoreProxy

from drorch.app.store_contract import CLAUSES
from drorch.app.store_history_clauses import ONE_VERSION
from drorch.app.store_lock_clauses import NO_LOCK


def test_a_broken_clause_and_limits_are_told_in_words(desk: Desk) -> None:
    """The store's clock is three hours off."""
    with StoreProxy(azurite.port(), AZURE.name) as proxy:
        desk.environ["AZURE_STORAGE_CONNECTION_STRING"] = azurite.connection_string(proxy.port)
        place = f"account_name: {azurite.ACCOUNT}, container: {azurite.container()}, region: westeurope"
        desk.write_config(vaults=f"vaults:\n  away: {{type: azure, {place}}}")
        assert desk.drorch("vault", "init", "away").code == 0
        proxy.skew = timedelta(hours=3)
        said = desk.drorch("vault", "check", "away")
    assert said.code == 3
    assert re.search(r"^ok +pages +a listing of several pages is complete", said.out, re.MULTILINE)
    broken = "its clock says .+Z, and dates what was written in that moment .+Z"
    assert re.search(f"^BROKEN  clock: {broken}$", said.out, re.MULTILINE)
    assert f"limit  lock-overwritten, lock, lock-parts: {NO_LOCK}\n" in said.out
    assert f"limit  history: {ONE_VERSION}\n" in said.out
    assert said.out.splitlines()[-1] == f"{len(CLAUSES) + 1} of {len(CLAUSES) + 2} clauses hold, 4 of them with a limit"
