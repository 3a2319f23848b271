"""A database server for the tests of a module, and desks at it."""

from __future__ import annotations

import copy
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from desks import Desk, Surroundings, surroundings


@pytest.fixture(scope="package")
def around() -> Iterator[Surroundings]:
    """A PostgreSQL, no cloud."""
    with surroundings(clouds=False) as found:
        yield found


@pytest.fixture
def desk(tmp_path: Path, around: Surroundings) -> Desk:
    """A new installation with a directory vault, where nothing was done yet."""
    return Desk(tmp_path, around)


@pytest.fixture(scope="package")
def lived(tmp_path_factory: pytest.TempPathFactory, around: Surroundings) -> Desk:
    """An installation that has a scheduled point, drilled, and one that was ordered and pinned. Left as it is."""
    desk = Desk(tmp_path_factory.mktemp("lived"), around)
    done = desk.ready()
    assert done.code == 0, done.err
    for command in (("backup", "shop", "orders", "--note", "für v2", "--pin", "30d"), ("run", "--once")):
        done = desk.drorch(*command)
        assert done.code == 0, done.err
    return desk


@pytest.fixture
def twin(lived: Desk, tmp_path: Path) -> Desk:
    """A copy of the lived installation, vault and keys included, with which anything may be done."""
    twin = copy.copy(lived)
    twin.folder = tmp_path / "twin"
    shutil.copytree(lived.folder, twin.folder)
    twin.policies, twin.state, twin.nas, twin.config = (
        twin.folder / path.relative_to(lived.folder) for path in (lived.policies, lived.state, lived.nas, lived.config)
    )
    twin.config.write_text(lived.config.read_text().replace(str(lived.folder), str(twin.folder)))
    return twin
