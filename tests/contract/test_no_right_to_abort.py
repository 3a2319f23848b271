"""A role that may not drop what an upload had sent: `vault check` says so, once, and blames nothing else for it."""

from __future__ import annotations

import pytest
from store_proxy import Instead, Reply, Request
from wires import WIRES, Wire

from drorch.app.store_clauses import NO_ABORT
from drorch.app.store_contract import CLAUSES, run_clause
from drorch.app.store_history_clauses import NO_DELETION
from drorch.ports import StoreLimits

CHECK = "drorch/v1/check/a/"
DENIED = {"s3": ["abort"], "azure": ["delete"], "swift": ["delete", "bulk"]}
"""What is refused by the role: on Azure and Swift nothing but the right to delete drops what was sent."""
ASKED = ("write-once-upload", "invisible", "abort", "wrong-parts", "most-parts", "next-upload", "abandoned", "gone")
"""Every clause that gives an upload up, and the one that deletes."""
CODES = {"azure": "AuthorizationPermissionMismatch"}


def deny(wire: Wire, kind: str) -> None:
    code = CODES.get(kind, "AccessDenied")
    body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>no</Message></Error>".encode()

    def denied(_: Request) -> Reply:
        return Reply(403, {"Content-Type": "application/xml", "x-ms-error-code": code}, body)

    for operation in DENIED[kind]:
        wire.always(operation, Instead(denied))


@pytest.mark.parametrize("kind", DENIED)
def test_a_role_without_the_right_to_abort_is_told_by_the_check(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda _: None)
    with WIRES[kind]() as wire:
        deny(wire, kind)
        if kind != "s3":
            wire.store.limits = StoreLimits(part_bytes=10_000)
        clauses = [clause for clause in CLAUSES if clause.name in ASKED]
        results = {clause.name: run_clause(clause, wire.store, CHECK) for clause in clauses}
        wire.proxy.quiet()
        assert {name: result.detail for name, result in results.items() if not result.ok} == {}
        assert results["abort"].detail == NO_ABORT
        assert (results["gone"].detail == NO_DELETION) is (kind != "s3")
        assert len(results) == len(ASKED)
        for pending in wire.store.uploads(""):
            wire.store.abort_upload(pending)
        assert list(wire.store.uploads("")) == []
