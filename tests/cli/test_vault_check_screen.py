"""What a person sees of `vault check` when a store has limits and breaks a clause; and Azure in a configuration."""

from __future__ import annotations

import re

import azurite
from desks import Desk

from drorch.app.store_contract import CLAUSES
from drorch.app.store_history_clauses import ONE_VERSION
from drorch.app.store_lock_clauses import NO_LOCK


def test_a_broken_clause_and_limits_are_told_in_words(desk: Desk) -> None:
    """A folder that nobody has marked."""
    said = desk.drorch("vault", "check", "nas")
    assert said.code == 3
    assert re.search(r"^ok +pages +a listing of several pages is complete", said.out, re.MULTILINE)
    assert re.search(r"^limit +history +every version is shown", said.out, re.MULTILINE)
    *_, broken, locks, history, total = said.out.splitlines()
    assert broken == "BROKEN  marker: nobody has marked it: drorch vault init nas"
    assert locks == f"limit  lock-overwritten, lock, lock-parts: {NO_LOCK}"
    assert history == f"limit  history: {ONE_VERSION}"
    assert total == f"{len(CLAUSES) + 1} of {len(CLAUSES) + 2} clauses hold, 4 of them with a limit"


def test_an_azure_container_is_marked_from_a_configuration(desk: Desk) -> None:
    desk.environ["AZURE_STORAGE_CONNECTION_STRING"] = azurite.connection_string(azurite.port())
    place = f"account_name: {azurite.ACCOUNT}, container: {azurite.container()}, region: westeurope"
    desk.write_config(vaults=f"vaults:\n  away: {{type: azure, {place}}}")
    said = desk.drorch("vault", "init", "away")
    assert (said.code, said.out) == (0, "away: marked as a vault of site acme\n")
