"""Nothing is deleted in this version: no code of the product asks a vault or a provider to."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import boto3

from drorch.domain.action import EXECUTABLE

PACKAGE = Path(__file__).parents[2] / "drorch"
SOURCES = sorted(path for path in PACKAGE.rglob("*.py") if "demo" not in path.relative_to(PACKAGE).parts)
MAY_DELETE = {
    "app/store_clauses.py",  # what the check of a vault wrote itself
    "app/store_contract.py",
    "stores/s3.py",  # the adapters' own `delete`, which nobody else calls, and the end of an upload
    "stores/gcs/__init__.py",
    "stores/gcs/session.py",  # gives an upload session up
    "stores/directory.py",
    "stores/memory.py",
    "ports.py",
}
ENDS_AN_UPLOAD = {"abort_multipart_upload", "delete_object", "DeleteObject"}
WRITING = re.compile(r"^(delete|deregister|terminate|purge|remove_tags|reset|disable|schedule_key_deletion)_")


def calls(path: Path) -> Iterator[tuple[str, int]]:
    """The attributes that are called, and where."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            yield node.func.attr, node.lineno


def strings(path: Path) -> Iterator[tuple[str, int]]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value, node.lineno


def name(path: Path) -> str:
    return str(path.relative_to(PACKAGE))


def test_no_module_asks_a_store_to_delete_but_the_check_of_a_vault() -> None:
    deleting = {name(path) for path in SOURCES for called, _ in calls(path) if called in ("delete", "delete_blob")}
    assert deleting <= MAY_DELETE
    assert "app/store_contract.py" in deleting, "the search finds nothing any more"


def test_no_module_calls_a_deleting_operation_of_aws() -> None:
    used = []
    for path in SOURCES:
        allowed = ENDS_AN_UPLOAD if name(path) == "stores/s3.py" else set()
        found = [(called, line) for called, line in calls(path) if WRITING.match(called)]
        found += [(text, line) for text, line in strings(path) if text in OPERATIONS]
        used += [f"{name(path)}:{line}: {called}" for called, line in found if called not in allowed]
    assert used == []


def operations() -> frozenset[str]:
    """Every operation of the services in use whose name says that something ends, by both of its names."""
    session, found = boto3.session.Session(region_name="us-east-1"), set()
    for service in ("ec2", "rds", "s3", "kms", "sts"):
        client = session.client(service, aws_access_key_id="x", aws_secret_access_key="y")
        mapping = client.meta.method_to_api_mapping
        found |= {name for python, api in mapping.items() if WRITING.match(python) for name in (python, api)}
    return frozenset(found)


OPERATIONS = operations()


def test_the_deleting_operations_are_known() -> None:
    wanted = {"delete_snapshot", "DeleteSnapshot", "delete_db_snapshot", "delete_object", "deregister_image"}
    assert wanted <= OPERATIONS


def test_only_actions_that_delete_nothing_can_be_executed() -> None:
    assert {kind.name for kind in EXECUTABLE} == {"cut", "copy", "ship", "record", "replicate", "drill"}
