"""docs/faults.md: which fault meets which action, and what drorch then does. As a program it writes the page.

``PYTHONPATH=tests:. python tests/fault_matrix_page.py``
"""

from __future__ import annotations

from pathlib import Path

from app.test_fault_matrix import impossible, table
from aws_faults import ABSENT, ACTIONS, FAULTS, NO_SETS, STRIKES
from estate import KINDS

PAGE = Path(__file__).parents[1] / "docs" / "faults.md"
_INTRODUCTION = """# What happens when things go wrong

Made by `PYTHONPATH=tests:. python tests/fault_matrix_page.py` of the rows that the tests run; a test fails when it
is out of date. After each cell nothing may be missing, made twice, half-written or deleted against a guard, and nothing
may be asked for in a loop.

## At AWS, by kind

In a world in memory that behaves as the kinds' contract (`tests/contract/`) says; all kinds are struck at once, and in
the same passes another application is carried on. What else must hold: every tag is on every snapshot, nothing is
signed or counted that is not whole at the provider. A letter says why the fault cannot meet the action.
One example of each fault runs through the real kinds on the embedded cloud (`tests/app/test_aws_faults_embedded.py`).
No drill is planned of a copy whose key is disabled: it is not usable. What restores and drills of native points meet:
`tests/contract/test_native_restore.py`, `tests/app/test_native_restore.py` and `tests/app/test_native_drill.py`.
"""
_IN_GENERAL = """
## In general, by action

`ok`: a test runs the cell. A number says why the fault cannot meet the action.
"""


def page() -> str:
    """The page as it is to be."""
    lines = [
        _INTRODUCTION,
        f"| fault | action | {' | '.join(KINDS)} | what drorch does |",
        "|---" * (len(KINDS) + 3) + "|",
    ]
    reasons = list(dict.fromkeys([NO_SETS, *ABSENT.values()]))
    letters = {reason: chr(ord("a") + number) for number, reason in enumerate(reasons)}
    lines += [_row(fault, action, letters) for fault in FAULTS for action in ACTIONS]
    lines += ["", *(f"{letter}) {reason}  " for reason, letter in letters.items()), _IN_GENERAL]
    lines.append(table(lambda row, fault: f"{number})" if (number := impossible(row, fault)) else "ok"))
    return "\n".join(lines) + "\n"


def _row(fault: str, action: str, letters: dict[str, str]) -> str:
    strike = next((s for s in STRIKES if (s.fault, s.action) == (fault, action)), None)
    if strike is None:
        cells, does = [letters[ABSENT[fault, action]]] * len(KINDS), ""
    else:
        cells = ["ok" if kind in strike.kinds else letters[NO_SETS] for kind in KINDS]
        does = strike.does
    return f"| {fault} | {action} | {' | '.join(cells)} | {does} |"


if __name__ == "__main__":
    PAGE.write_text(page())
