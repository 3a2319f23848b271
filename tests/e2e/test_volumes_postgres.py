"""A real PostgreSQL in volumes on Azure and Swift: shipped, drilled, and brought back by the address of each alone."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import azurite
import pgshop
import pytest
import swift_server
from dumped import MIB, SITE, HandClock
from live_stores import azure_store, swift_container, swift_store
from pgservers import Running, debian, running

from drorch.app.drill import DrillOrder, Scratch, run_drill
from drorch.app.dump import DumpOrder, dump
from drorch.app.loading import Reader
from drorch.app.reading import TrustedKey
from drorch.app.ship import ShipOrder, ship
from drorch.app.verify import State, committed_points, verify_points, whole
from drorch.crypto.age import new_identity
from drorch.crypto.minisign import SecretKey
from drorch.domain.policy import Probe
from drorch.domain.record import artefacts_of
from drorch.engines.postgres import PostgresEngine
from drorch.ports import ObjectStore, StoreLimits

pytestmark = pytest.mark.integration

NOISE = "CREATE TABLE noise AS SELECT i, md5(i::text) || md5((i * 7)::text) AS words FROM generate_series(1, 60000) i"
PROBE = Probe(sql="select count(*) from noise", expect="== 60000")


@dataclass
class Disaster:
    """A database, its dump in Azure and (shipped) in Swift, and what a person has left afterwards."""

    server: Running
    stores: dict[str, ObjectStore]
    key: SecretKey
    identity: Path
    reader: Reader
    engine: PostgresEngine
    before: object
    urls: dict[str, str]


@pytest.fixture(scope="module")
def disaster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Disaster]:
    with running(debian()) as server, swift_container() as container:
        runtime = server.server.folder.parent / "run"
        runtime.mkdir(mode=0o755)
        engine = PostgresEngine([server.binaries], runtime)
        database = server.database(name="shop")
        pgshop.fill(server, database)
        server.run(NOISE, database=database)
        key, (identity, recipient) = SecretKey.generate(), new_identity()
        blobs = azurite.container()
        stores: dict[str, ObjectStore] = {
            "azure-eu": azure_store(azurite.port(), blobs),
            "swift-dfw": swift_store(container),
        }
        stores["azure-eu"].limits = StoreLimits(part_bytes=MIB, max_parts=1)
        stores["swift-dfw"].limits = StoreLimits(part_bytes=MIB, max_parts=1)
        clock = HandClock(datetime.now(UTC))
        order = DumpOrder(SITE, "shop", "orders", "postgres", "p1", "2026-11-20T12:00Z", (recipient,))
        made = dump(order, engine, server.options(database), {}, {"azure-eu": stores["azure-eu"]}, key, clock=clock)
        assert max(len(artefact.volumes) for artefact in artefacts_of(made.manifest)) >= 3
        keys = [TrustedKey(key.public)]
        shipped = ShipOrder(SITE, "shop", "orders", "p1", made.cut_at)
        ship(shipped, stores["azure-eu"], stores["swift-dfw"], keys, clock=clock)
        file = tmp_path_factory.mktemp("keys") / "key.txt"
        file.write_text(f"{identity}\n")
        file.chmod(0o600)
        urls = {
            "azure-eu": f"azure://{azurite.ACCOUNT}/{blobs}/team/dr",
            "swift-dfw": f"swift://{container}/team/dr",
        }
        reader = Reader(keys, [identity], clock)
        yield Disaster(server, stores, key, file, reader, engine, pgshop.contents(server, database), urls)
        for store in stores.values():
            store.close()


VAULTS = ("azure-eu", "swift-dfw")


@pytest.mark.parametrize("vault", VAULTS)
def test_volumes_of_a_real_database_are_verified_and_drilled(disaster: Disaster, vault: str) -> None:
    store, reader = disaster.stores[vault], disaster.reader
    (found,) = verify_points(
        store, committed_points(store), list(reader.keys), whole, site=SITE, clock=reader.clock
    ).points
    assert found.state is State.OK
    reader.clock.sleep(1)  # proofs bear the second
    order = DrillOrder(SITE, "shop", "orders", vault, (PROBE,))
    outcome = run_drill(order, disaster.engine, Scratch(), {vault: store}, reader, disaster.key)
    assert outcome.passed, outcome.why


@pytest.mark.parametrize("vault", VAULTS)
def test_break_glass_brings_a_database_in_volumes_back_from_the_address_alone(
    disaster: Disaster, vault: str, tmp_path: Path
) -> None:
    """A process with the credentials of one store, a key file and a public key."""
    into = f"glass_{vault.partition('-')[0]}"
    credentials = {
        "azure-eu": {"AZURE_STORAGE_CONNECTION_STRING": azurite.connection_string(azurite.port())},
        "swift-dfw": swift_server.running().environment,
    }
    command = [sys.executable, "-m", "drorch", "restore", "shop", "orders", "--vault-url", disaster.urls[vault]]
    command += ["--identity", str(disaster.identity), "--trust", disaster.key.public.text()]
    command += ["--into", disaster.server.url(into)]
    environ = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), **credentials[vault]}
    done = subprocess.run(command, env=environ, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert "restored shop/orders" in done.stdout
    assert pgshop.contents(disaster.server, into) == disaster.before
    assert disaster.server.value("SELECT count(*) FROM noise", into) == 60000
    assert list(tmp_path.iterdir()) == [], "nothing is left on the machine"
