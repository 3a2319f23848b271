"""What a worker opens: stores, engines and kinds, chosen by the words of its job."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from drorch.app.jobs import HostSpec, VaultSpec
from drorch.aws import AwsAccount
from drorch.domain.errors import Refused
from drorch.ports import Engine, ObjectStore, RestoresSnapshots


class Wired:
    """The worker's builders (`drorch.worker.Builders`) for one job: AWS accounts are shared by its vaults."""

    def __init__(self, host: HostSpec) -> None:
        # Imported late: the job's environment must be there before any SDK looks for it.
        from drorch.wiring import adapters

        self._adapters = adapters
        self._tools = host.tools
        self._budget = host.inventory_budget
        self._granted = host.paths
        self._scratch = Path(host.scratch) if host.scratch else None
        self._accounts = adapters.build_accounts({name: AwsAccount(**body) for name, body in host.accounts.items()})

    def store(self, spec: VaultSpec, /) -> ObjectStore:
        """See `drorch.worker.Builders`."""
        return self._adapters.build_store(spec.name, spec.type, spec.options, self._accounts)

    def engine(self, kind: str, /) -> Engine:
        """See `drorch.worker.Builders`."""
        return self._adapters.build_engine(
            kind, self._tools, inventory_budget=self._budget, granted=self._granted, scratch=self._scratch
        )

    def engine_options(self, kind: str, options: Mapping[str, Any], /) -> object:
        """See `drorch.worker.Builders`. Refused for a kind without dumps and for options that are not its own."""
        words = self._adapters.vocabulary(allow_unknown_regions=True).kinds.get(kind)
        if words is None:
            raise Refused(f"{kind} is no kind of dump", operation="worker")
        try:
            return words.options.model_validate(dict(options))
        except ValueError as error:
            raise Refused(f"these are no options of {kind}", operation="worker", cause=str(error)) from error

    def restoring(self, kind: str, /) -> RestoresSnapshots:
        """See `drorch.worker.Builders`. Refused for a kind that is none."""
        from drorch.app.native_restore import restoring_kind

        return restoring_kind(self._adapters.build_kinds(self._accounts), kind)

    def restore_options(self, kind: str, options: Mapping[str, Any], /) -> object:
        """See `drorch.worker.Builders`. Refused when they are not whole."""
        return self._adapters.restore_options(kind, options)
