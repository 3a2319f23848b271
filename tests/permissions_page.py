"""The tables of docs/permissions.md that adapters' own declarations make. As a program it writes them into the page."""

from __future__ import annotations

from pathlib import Path

from drorch.domain.iam_roles import purposes
from drorch.steps import launch, record
from drorch.stores.s3 import permissions as s3
from drorch.wiring.adapters import SNAPSHOT_KINDS, declared_of

PAGE = Path(__file__).parents[1] / "docs" / "permissions.md"
BEGIN, END = "<!-- made by `python tests/permissions_page.py`: {} -->\n", "<!-- end -->"


def tables() -> dict[str, str]:
    """The tables, by the names that stand in the page."""
    return {"kinds": _kinds(), "steps": _steps(), "s3": _s3()}


def page(text: str) -> str:
    """The page with its tables as they are to be."""
    for name, table in tables().items():
        before, begin, rest = text.partition(BEGIN.format(name))
        _, end, after = rest.partition(END)
        if not begin or not end:
            raise ValueError(f"{PAGE.name} has no place for the table {name}")
        text = f"{before}{begin}{table}{end}{after}"
    return text


def _kinds() -> str:
    lines = ["| kind | right | for |", "|---|---|---|"]
    for kind in SNAPSHOT_KINDS:
        declared = declared_of(kind)
        rights = [*purposes(declared.permissions), ("encrypted copies, by AWS in the caller's name", declared.behalf)]
        locking = set(declared_of(kind, locking=True).permissions) - set(declared.permissions)
        rights.append(("a copy with `lock:`", tuple(sorted(locking))))
        rights.append(("making resources of copies, by a person", declared.restore))
        lines += [f"| `{kind}` | {_shown(actions)} | {purpose} |" for purpose, actions in rights if actions]
    return "\n".join(lines) + "\n"


def _steps() -> str:
    rights = (
        (launch.PERMISSIONS, "`launch`"),
        (launch.BEHALF, "`launch`, as Auto Scaling checks who gives a group a launch template"),
        (record.PERMISSIONS, "`record`"),
    )
    lines = ["| right | for the step |", "|---|---|", *(f"| {_shown(actions)} | {step} |" for actions, step in rights)]
    return "\n".join(lines) + "\n"


def _s3() -> str:
    rights = (
        (s3.READING, "restoring, verifying"),
        (s3.WRITING, "dumps and records, and their sweeping"),
        (s3.HISTORY, "a versioned bucket: what lies under a delete marker or a newer version"),
        ((*s3.LOOKING_AT_LOCKS, *s3.LOCKING), "a vault with `lock:`"),
        (s3.LETTING_GO, "*lets go*"),
    )
    lines = ["| right | for |", "|---|---|", *(f"| {_shown(actions)} | {purpose} |" for actions, purpose in rights)]
    return "\n".join(lines) + "\n"


def _shown(actions: tuple[str, ...]) -> str:
    return ", ".join(f"`{action}`" for action in actions)


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text()))
