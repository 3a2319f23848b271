"""A store that is not under the contract is not a store."""

from __future__ import annotations

import importlib
import pkgutil
import subprocess
import sys

import pytest
from live_stores import STORES
from pydantic import BaseModel

import drorch.stores
from drorch.domain.model import FailureDomain

MODULES = sorted(module.name for module in pkgutil.iter_modules(drorch.stores.__path__))


def test_every_store_is_in_the_contract_matrix() -> None:
    assert set(MODULES) == {name.partition(":")[0] for name in STORES}


@pytest.mark.parametrize("name", MODULES)
def test_every_store_exports_the_same_three_names(name: str) -> None:
    module = importlib.import_module(f"drorch.stores.{name}")
    assert issubclass(module.Options, BaseModel)
    assert module.Options.model_config["extra"] == "forbid"
    assert module.Options.model_config["frozen"] is True
    assert isinstance(module.Options.domain, property)
    assert module.Options.domain.fget.__annotations__["return"] == FailureDomain.__name__
    assert callable(module.open_store)
    assert callable(module.from_url)


def test_importing_all_stores_imports_no_vendor_sdk() -> None:
    """`policy check` and `restore --help` need their options, not their SDKs."""
    program = "import sys\n" + "".join(f"import drorch.stores.{name}\n" for name in MODULES)
    sdks = {"boto3", "botocore", "google", "swiftclient", "keystoneauth1", "requests"}
    program += f"print(sorted({{name.partition('.')[0] for name in sys.modules}} & {sdks}))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout.strip() == "[]"
