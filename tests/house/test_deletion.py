"""Who may delete: few modules, and here they are named. No other one of the product can take anything away."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest

from drorch.domain.action import DELETING, EXECUTABLE

PACKAGE = Path(__file__).parents[2] / "drorch"
SOURCES = sorted(path for path in PACKAGE.rglob("*.py") if "demo" not in path.relative_to(PACKAGE).parts)

ASK_A_STORE = {
    "app/expiry.py",  # what has expired
    "app/sweep.py",  # what nobody can need
    "app/repair.py",  # what is damaged and is written again
    "app/store_clauses.py",  # what the check of a vault wrote itself
    "app/store_contract.py",
    "app/store_history_clauses.py",
    "app/store_lock_clauses.py",
    "app/vaults.py",  # what earlier checks had to leave
}
"""The modules that may call `delete` or `abort_upload` of an ObjectStore; in `stores` the adapters do the work."""
ASK_A_KIND = {("app/expiry.py", "kind"), ("app/carry.py", "self._expiry"), ("kinds/memory/images.py", "super()")}
"""Who calls `expire`, and of what: of a kind of snapshot app.expiry alone; app.carry hands its action on to that, and
the fake of images to the fake that it extends.
"""
AT_THE_PROVIDER = {
    "kinds/ebs/__init__.py": {"delete_snapshot", "DeleteSnapshot"},
    "kinds/ami/": {"deregister_image", "DeregisterImage", "delete_snapshot", "DeleteSnapshot"},
    "kinds/ami/restore.py": {"terminate_instances", "TerminateInstances"},
    "kinds/ami/template.py": {"delete_launch_template_versions", "DeleteLaunchTemplateVersions"},
    "kinds/ec2_restoring.py": {"delete_volume", "DeleteVolume"},
    # The rights alone, each with its condition.
    "domain/iam_ec2_restored.py": {"DeleteVolume", "TerminateInstances", "DeleteLaunchTemplateVersions"},
    "kinds/rds_instance.py": {"delete_db_snapshot", "DeleteDBSnapshot", "DeleteDBInstance"},
    "kinds/rds_cluster.py": {
        "delete_db_cluster_snapshot",
        "DeleteDBClusterSnapshot",
        "DeleteDBInstance",
        "DeleteDBCluster",
    },
    # What a drill made, by its tag and its name.
    "kinds/rds_family/restores.py": {"delete_db_instance", "DeleteDBInstance"},
    "kinds/rds_family/restore_cluster.py": {"delete_db_cluster", "DeleteDBCluster"},
    "domain/iam_rds_restored.py": {"DeleteDBInstance", "DeleteDBCluster"},  # the rights alone, each with its condition
    # The security group of a drill's own, by its tag and by the name that is made of the drill's id.
    "kinds/isolation.py": {"delete_security_group", "DeleteSecurityGroup"},
    "domain/iam_isolation.py": {"DeleteSecurityGroup"},  # the right alone, with its condition
    "stores/s3/": {"delete_object", "DeleteObject", "abort_multipart_upload", "AbortMultipartUpload"},
}
"""The operations of AWS that end something, by the module or package that may name them."""
ENDING = re.compile(
    r"^(delete|deregister|terminate|purge|remove|reset|disable|abort|cancel|unlock|schedule_key_deletion)(_|$)"
)


def name(path: Path) -> str:
    return str(path.relative_to(PACKAGE))


def passed_on(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """Every attribute that is read, and of what, as it is written: a method may be handed on, and called elsewhere."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
            yield node.attr, ast.unparse(node.value)


def words(tree: ast.AST) -> set[str]:
    """The attributes, and the words in texts that are no docstring: permissions, names of operations, of methods."""
    prose = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    found = {attribute for attribute, _ in passed_on(tree)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in prose:
            found.update(re.findall(r"\w+", node.value))
    return found


def parsed() -> dict[str, ast.AST]:
    return {name(path): ast.parse(path.read_text()) for path in SOURCES}


TREES = parsed()


def operations() -> frozenset[str]:
    """Every operation of the services in use whose name says that something ends, by both of its names."""
    session, found = boto3.session.Session(region_name="us-east-1"), set()
    for service in ("ec2", "rds", "s3", "kms", "sts"):
        client = session.client(service, aws_access_key_id="x", aws_secret_access_key="y")
        mapping = client.meta.method_to_api_mapping
        found |= {name for python, api in mapping.items() if ENDING.match(python) for name in (python, api)}
    return frozenset(found)


OPERATIONS = operations()


def deleting(trees: dict[str, ast.AST]) -> set[str]:
    """The modules outside the adapters that ask a store to delete."""
    asked = {"delete", "abort_upload", "delete_blob", "delete_blobs", "delete_objects"}
    return {
        module
        for module, tree in trees.items()
        if not module.startswith("stores/") and any(attribute in asked for attribute, _ in passed_on(tree))
    }


def expiring(trees: dict[str, ast.AST]) -> set[tuple[str, str]]:
    return {
        (module, of) for module, tree in trees.items() for attribute, of in passed_on(tree) if attribute == "expire"
    }


def ending(trees: dict[str, ast.AST]) -> set[str]:
    """What names an operation of AWS that ends something, where it may not."""
    found = set()
    for module, tree in trees.items():
        allowed = {word for place, given in AT_THE_PROVIDER.items() if module.startswith(place) for word in given}
        found |= {f"{module}: {word}" for word in (words(tree) & OPERATIONS) - allowed}
    return found


def test_only_expiry_sweep_repair_and_the_check_of_a_vault_ask_a_store_to_delete() -> None:
    assert deleting(TREES) <= ASK_A_STORE
    assert {"app/expiry.py", "app/sweep.py", "app/store_contract.py"} <= deleting(TREES), "the search finds nothing"


def test_only_expiry_asks_a_kind_of_snapshot_to_delete() -> None:
    assert expiring(TREES) == ASK_A_KIND


def test_only_the_adapters_name_an_operation_of_aws_that_ends_something_and_only_their_own() -> None:
    assert ending(TREES) == set()


def test_each_adapter_names_the_operation_that_deletes_what_it_makes() -> None:
    assert {"delete_snapshot", "DeleteSnapshot"} <= words(TREES["kinds/ebs/__init__.py"])
    assert {"deregister_image", "DeregisterImage", "DeleteSnapshot"} <= words(TREES["kinds/ami/__init__.py"])
    assert {"delete_db_snapshot", "DeleteDBSnapshot"} <= words(TREES["kinds/rds_instance.py"])
    assert {"delete_db_cluster_snapshot", "DeleteDBClusterSnapshot"} <= words(TREES["kinds/rds_cluster.py"])


def test_the_ending_operations_are_known() -> None:
    wanted = {"delete_snapshot", "DeleteSnapshot", "delete_db_snapshot", "delete_object", "deregister_image"}
    assert wanted | {"unlock_snapshot", "schedule_key_deletion"} <= OPERATIONS


def test_no_lock_is_ever_bypassed() -> None:
    """A lock that the product can lift holds nothing against who holds the product's host."""
    bypassing = {"BypassGovernanceRetention", "x-amz-bypass-governance-retention", "overrideUnlockedRetention"}
    texts = {path: path.read_text() for path in SOURCES}
    assert [name(path) for path, text in texts.items() if any(word in text for word in bypassing)] == []


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("store.delete(path)", True),
        ("run(store.delete)", True),
        ("store.abort_upload(upload)", True),
        ("kind.expire(account, region, native_id)", True),
        ("client.delete_snapshot(SnapshotId=one)", True),
        ("getattr(client, 'delete_db_snapshot')(one)", True),
        ("PERMISSIONS = ('ec2:DeregisterImage',)", True),
        ("client.unlock_snapshot(SnapshotId=one)", True),
        ("store.read(path)", False),
        ('"""DeleteSnapshot is never called here."""', False),
    ],
)
def test_a_module_that_deletes_in_whatever_way_is_found(code: str, found: bool) -> None:
    trees: dict[str, ast.AST] = {"app/other.py": ast.parse(code)}
    assert bool(deleting(trees) or expiring(trees) or ending(trees)) is found


def test_the_actions_that_can_be_executed_and_those_of_them_that_remove_something() -> None:
    kinds = {
        "cut",
        "copy",
        "ship",
        "record",
        "replicate",
        "drill",
        "verify",
        "lock",
        "mark",
        "head",
        "runbook",
        "unshare",
    }
    assert {kind.name for kind in DELETING} == {"expire", "sweep", "repair"}
    assert {kind.name for kind in EXECUTABLE} == kinds | {"expire", "sweep", "repair"}
