"""A drill of a whole application in its worker, with the adapters behind it chosen."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from threading import Event
from typing import Any, cast

from drorch.app.drill_alone import drilling_in
from drorch.app.jobs import ScenarioJob
from drorch.app.loading import Reader
from drorch.app.native_restore import NativeRestores
from drorch.app.scenario_drill import ScenarioDrill
from drorch.app.scenario_points import ScenarioPoints
from drorch.crypto import ids
from drorch.crypto.minisign import SecretKey
from drorch.domain.errors import DrorchError
from drorch.ports import Clock, ObjectStore, RestoresSnapshots, SnapshotKind
from drorch.wiring import adapters


def scenario_drill(
    job: ScenarioJob,
    restoring: Callable[[str], RestoresSnapshots],
    stores: Mapping[str, ObjectStore],
    lost: Mapping[str, DrorchError],
    clock: Clock,
    report: Callable[[Mapping[str, Any]], None],
    cancel: Event,
) -> Mapping[str, Any]:
    """The outcome. Raises as `ScenarioDrill.run`; Busy while another drill of this host goes on in its accounts.

    Vaults that could not even be opened (`lost`) get no proof, and that is told.
    """
    key, order = SecretKey.parse(job.signing_key), job.order
    site_key = ids.site_key(key)
    # Whatever kind the records tell of is listed, brought back or not; one that does the one does the other.
    back = {kind: restoring(kind) for kind in adapters.SNAPSHOT_KINDS}
    kinds = {kind: cast(SnapshotKind, of) for kind, of in back.items()}
    restores = NativeRestores(
        kinds_of=lambda _accounts: kinds,
        stores={name: stores[name] for name in order.vaults if name in stores},
        reader=Reader(keys=job.trusted, identities=(), clock=clock, cancel=cancel),
        valid_id=lambda *given: ids.verify_point_id(site_key, *given) is not None,
    )
    points = ScenarioPoints(restores, back.__getitem__, adapters.drill_options, clock)
    drill = ScenarioDrill(points, back.__getitem__, stores, clock, key, time.monotonic, report, cancel)
    accounts = {account for of in order.resources.values() for account in of.accounts}
    with drilling_in(job.host.state, accounts, f"drill of {order.application}"):
        outcome = drill.run(order)
    unwritten: Any = outcome["unwritten"]
    return outcome | {"unwritten": {vault: str(error) for vault, error in lost.items()} | unwritten}
