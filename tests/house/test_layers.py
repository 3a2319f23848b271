"""The layers of the house hold, and a wrong import would be noticed."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    program = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(cache_dir=None))"
    command = [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(folder)!r}); {program}"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)


def test_every_contract_is_kept_and_a_wrong_import_breaks_its_own(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "drorch", tmp_path / "drorch", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    done = lint(tmp_path)
    assert done.returncode == 0, done.stdout
    assert "4 kept, 0 broken" in done.stdout
    for path, line in (
        ("drorch/domain/plan.py", "import os"),
        ("drorch/app/vaults.py", "import drorch.stores.s3"),
        ("drorch/app/orders.py", "import boto3"),
        ("drorch/stores/gcs/__init__.py", "import drorch.stores.s3"),
    ):
        wrong = tmp_path / path
        wrong.write_text(wrong.read_text() + f"\n{line}\n")
    done = lint(tmp_path)
    assert done.returncode == 1
    assert "0 kept, 4 broken" in done.stdout
    for words in (
        "drorch.app.vaults -> drorch.stores.s3",
        "drorch.app.orders -> boto3",
        "drorch.domain.plan -> os",
        "drorch.stores.gcs -> drorch.stores.s3",
    ):
        assert words in done.stdout, words
