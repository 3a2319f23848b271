"""AWS in this process: a repaired moto behind a gate that can lose regions, fail calls and count them.

One at a time per process: moto's backends are global. Nothing outlives `stop`.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from types import TracebackType
from typing import Any, Literal

from werkzeug.serving import ThreadedWSGIServer
from werkzeug.test import run_wsgi_app

from drorch.demo import repairs
from drorch.demo.aws_calls import Call, error_reply, identify
from drorch.demo.faults import Faults, Mode
from drorch.domain.errors import NotFound, Refused

repairs.apply()

from moto.core.base_backend import BackendDict  # noqa: E402  (after the repairs have set moto's environment)
from moto.core.model_instances import reset_model_data  # noqa: E402
from moto.ec2.models import ec2_backends  # noqa: E402
from moto.moto_server.werkzeug_app import (  # noqa: E402
    DomainDispatcherApplication,
    MotoRequestHandler,
    create_backend_app,
)
from moto.rds.models import rds_backends  # noqa: E402
from moto.s3.models import s3_backends  # noqa: E402

from drorch.demo.repairs import (  # noqa: E402
    copy_places,
    instances,
    offers,
    paging,
    rds,
    rds_automated,
    rds_clusters,
    snapshot_locks,
    states,
    volumes,
)
from drorch.demo.repairs.ec2 import SNAPSHOT, foreign_copy  # noqa: E402

ACCOUNT = "123456789012"
"""The account of every credential that moto did not hand out itself."""
_SNAPSHOTS = (SNAPSHOT, rds.DB_SNAPSHOT, rds_clusters.DB_CLUSTER_SNAPSHOT)
_RESTORED = (volumes.VOLUME, instances.INSTANCE)
_INSTANCES = (rds.DB_INSTANCE, rds_clusters.DB_CLUSTER)
_log = logging.getLogger("drorch.demo.aws")
_moto = DomainDispatcherApplication(create_backend_app)
_running = threading.Lock()


class EmbeddedAws:
    """A context manager; the world is empty when it starts. `rds_databases` puts real databases behind RDS."""

    def __init__(self, *, rds_databases: rds.Databases | None = None) -> None:
        self.faults = Faults()
        self._databases = rds_databases
        self._lost: set[str] = set()
        self._replies: dict[str, tuple[str, list[tuple[str, str]], bytes]] = {}
        self._one_at_a_time = threading.Lock()
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None

    # --- life ----------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Serve on a free port of 127.0.0.1. Refused while another one runs in this process."""
        if not _running.acquire(blocking=False):
            raise Refused("an embedded AWS already runs in this process", operation="start the embedded AWS")
        self._server = _Server("127.0.0.1", 0, self._gate, _Handler)
        self.reset()
        rds.databases = self._databases
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """The whole provider is gone: connections are refused from now on. Harmless twice."""
        server, self._server = self._server, None
        if server is None or self._thread is None:
            return
        server.shutdown()
        server.server_close()
        self._thread.join()
        rds.databases = None
        _running.release()

    def __enter__(self) -> EmbeddedAws:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def endpoint_url(self) -> str:
        """For ``AWS_ENDPOINT_URL``; the same for every service and region."""
        if self._server is None:
            raise Refused("the embedded AWS is stopped", operation="find the endpoint of the embedded AWS")
        return f"http://127.0.0.1:{self._server.port}"

    def reset(self) -> None:
        """An empty world: no resources, regions, faults, counts or transitions left from before."""
        BackendDict.reset()
        reset_model_data()
        self.faults.clear()
        for region in tuple(self._lost):
            self.recover_region(region)
        self._replies.clear()
        paging.cap_pages(None)
        offers.clear()
        snapshot_locks.ahead = timedelta()
        copy_places.places.update(copy_places.DEFAULTS)
        self.set_snapshot_transition("immediate")
        self.set_db_instance_transition("immediate")
        self.set_ec2_transition("immediate")

    # --- regions -------------------------------------------------------------------------------------------------

    def lose_region(self, region: str) -> None:
        """From now on nothing in `region` answers, its databases included: connections are closed without a reply.

        A request is to a region by its credential scope, by the home of its bucket, or by the source of its copy.
        """
        self._lost.add(region)
        if self._databases:
            self._databases.lose(region, lost=True)

    def recover_region(self, region: str) -> None:
        """The region answers again, with everything that was in it."""
        self._lost.discard(region)
        if self._databases:
            self._databases.lose(region, lost=False)

    # --- time ----------------------------------------------------------------------------------------------------

    def set_snapshot_transition(
        self,
        how: Literal["immediate", "held"] | None = None,
        *,
        seconds: float | None = None,
        describes: int | None = None,
    ) -> None:
        """When EBS, DB and DB cluster snapshots become usable: at once, when `finish_snapshots` is called, after
        `seconds` of real time, or when they have been described `describes` times."""
        states.set_transition(_SNAPSHOTS, seconds=seconds, describes=describes, held=how == "held")

    def set_db_instance_transition(
        self,
        how: Literal["immediate", "held"] | None = None,
        *,
        seconds: float | None = None,
        describes: int | None = None,
    ) -> None:
        """The same for DB clusters, and for each step of a DB instance (creating, backing-up, available)."""
        states.set_transition(_INSTANCES, seconds=seconds, describes=describes, held=how == "held")

    def set_ec2_transition(
        self,
        how: Literal["immediate", "held"] | None = None,
        *,
        seconds: float | None = None,
        describes: int | None = None,
    ) -> None:
        """The same for EBS volumes (creating, available) and EC2 instances (pending, running)."""
        states.set_transition(_RESTORED, seconds=seconds, describes=describes, held=how == "held")

    def finish_ec2(self) -> None:
        """Every volume is available and every instance runs now; failed ones stay failed."""
        states.finish(_RESTORED)

    def fail_volume(self, region: str, native_id: str) -> None:
        """A volume goes to ``error``, as one does whose key cannot be used."""
        states.fail(ec2_backends[ACCOUNT][region].get_volume(native_id), "")

    def fail_instance(self, region: str, native_id: str, code: str, message: str) -> None:
        """An instance is terminated at its start, for a reason such as ``Client.InternalError``."""
        instances.fail(ec2_backends[ACCOUNT][region].get_instance(native_id), code, message)

    def finish_snapshots(self) -> None:
        """Every pending snapshot, in all regions, is complete now; failed ones stay failed."""
        states.finish(_SNAPSHOTS)

    def finish_snapshot(self, region: str, native_id: str) -> None:
        """One pending snapshot is complete now, a foreign copy too. NotFound when there is none."""
        states.finish_one(_snapshot(region, native_id))

    def finish_db_instances(self) -> None:
        """Every DB instance and DB cluster is available now."""
        states.finish(_INSTANCES)

    def fail_database(self, region: str, identifier: str, status: str = "failed") -> None:
        """An instance or a cluster ends in `status`, as RDS calls it. KeyError when there is none."""
        backend = rds_backends[ACCOUNT][region]
        database: Any = backend.databases.get(identifier) or backend.clusters[identifier]
        database.__dict__["_forced_status"] = status

    def fail_snapshot(self, region: str, native_id: str, message: str = "An internal error has occurred") -> None:
        """An EBS snapshot goes to ``error``, an image or one of RDS to ``failed``. NotFound when there is none."""
        states.fail(_snapshot(region, native_id), message)

    def turn_lock_clock(self, by: timedelta) -> None:
        """For locks of snapshots it is so much later from now on; `reset` turns it back."""
        snapshot_locks.ahead += by

    # --- copy places ---------------------------------------------------------------------------------------------

    def set_copy_places(self, service: Literal["ec2", "rds", "rds-cluster"], places: int) -> None:
        """So many copies may be under way into each region of the account (`copy_places.DEFAULTS` at first)."""
        copy_places.places[service] = places

    def put_foreign_copies(self, region: str, count: int) -> tuple[str, ...]:
        """`count` EBS copies of somebody else take places in `region` until `finish_snapshot`; their ids."""
        with self._one_at_a_time:
            return tuple(str(foreign_copy(ACCOUNT, region).id) for _ in range(count))

    # --- what a region offers ---

    def withhold_class(self, region: str, instance_class: str) -> None:
        """RDS does not offer this instance class in the region."""
        offers.withheld.add((region, instance_class))

    def refuse_launches(self, zone: str, instance_type: str, code: str = "InsufficientInstanceCapacity") -> None:
        """EC2 refuses to launch this instance type in the zone; with code "" it launches it again."""
        offers.full[zone, instance_type] = code

    def exhaust_class(self, region: str, instance_class: str) -> None:
        """RDS offers this instance class in the region, and has no capacity for it now."""
        offers.scarce.add((region, instance_class))

    def set_quota(self, region: str, service: str, code: str, value: int) -> None:
        """Service Quotas says so; quotas that nobody set are unknown to it."""
        offers.raised[region, service, code] = value

    # --- what RDS keeps by itself ---

    def hold_backups(self, region: str, identifier: str, at: datetime) -> None:
        """The automated backups of instance `identifier` that are replicated to `region` stand still at `at`."""
        for replicated in rds_automated.replicated_in(rds_backends[ACCOUNT][region]).values():
            if replicated.source.db_instance_identifier == identifier:
                replicated.frozen = at

    def break_replica(self, region: str, identifier: str, status: str = "error", message: str = "") -> None:
        """The read replica follows no more, or the secondary of a global database; `status` as RDS has it."""
        backend = rds_backends[ACCOUNT][region]
        database: Any = backend.databases.get(identifier) or backend.clusters[identifier]
        database.broken_replication = status, message

    # --- faults --------------------------------------------------------------------------------------------------

    @property
    def calls(self) -> Counter[tuple[str, str, str]]:
        """Calls so far by (service, operation, region): ``("ec2", "DescribeSnapshots", "eu-west-1")``."""
        return self.faults.calls

    def fail_next(self, operation: str, mode: Mode, *, times: int = 1, region: str = "") -> None:
        """See `Faults.fail_next`."""
        self.faults.fail_next(operation, mode, times=times, region=region)

    def stale(self, operation: str, passes: int) -> None:
        """See `Faults.stale`; a listing that was never asked before is answered truly."""
        self.faults.stale(operation, passes)

    def half(self, operation: str, times: int = 1) -> None:
        """See `Faults.half`; `cap_pages` makes listings long enough."""
        self.faults.half(operation, times)

    def cap_pages(self, entries: int | None) -> None:
        """At most `entries` per page of the EC2 and RDS listings that drorch uses; None lifts the cap."""
        paging.cap_pages(entries)

    # --- the gate ------------------------------------------------------------------------------------------------

    def _gate(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        call = identify(environ)
        if call is None:
            return _moto(environ, start_response)  # type: ignore[no-any-return]
        self.faults.count(call.service, call.operation, call.region)
        self._cut_if_lost(call)
        fault = self.faults.take(call.operation, call.region, later_page=call.later_page)
        if fault in ("before", "throttle", "credentials-expired", "denied"):
            return _answer(start_response, *error_reply(call, fault, f"{fault}, as ordered"))
        status, headers, body = self._execute(call, environ)
        self._cut_if_lost(call)
        if fault == "after":
            raise ConnectionAbortedError("cut after the call, as ordered")
        start_response(status, headers)
        return _short(body) if fault == "short" else [body]

    def _cut_if_lost(self, call: Call) -> None:
        home = self._home(call.bucket)
        if self._server is None or not self._lost.isdisjoint({*call.regions, home}):
            raise ConnectionAbortedError(f"{call.region} is lost")

    def _home(self, bucket: str) -> str:
        owner = s3_backends.bucket_accounts.get(bucket)
        if owner is None:
            return ""
        partition, account = owner
        return str(s3_backends[account][partition].buckets[bucket].region_name)

    def _execute(self, call: Call, environ: dict[str, Any]) -> tuple[str, list[tuple[str, str]], bytes]:
        name = f"{call.operation} {call.key}"
        if (
            call.listing
            and self.faults.take_stale(call.operation, later_page=call.later_page)
            and name in self._replies
        ):
            return self._replies[name]
        if call.service == "s3":  # bodies arrive slowly; its own repair locks what must be atomic
            reply = _run(call, environ)
        else:
            with self._one_at_a_time:  # nobody sees a snapshot before its tags
                reply = _run(call, environ)
        if call.listing:
            self._replies[name] = reply
        return reply


def _snapshot(region: str, native_id: str) -> Any:
    snapshot: Any = None
    for account in (ACCOUNT, *(set(ec2_backends) | set(rds_backends))):
        ec2_there, rds_there = ec2_backends[account][region], rds_backends[account][region]
        snapshot = snapshot or ec2_there.snapshots.get(native_id) or ec2_there.amis.get(native_id)
        snapshot = snapshot or rds_there.database_snapshots.get(native_id)
        snapshot = snapshot or rds_there.cluster_snapshots.get(native_id)
    if snapshot is None:
        raise NotFound(f"no snapshot {native_id} in {region}", operation="turn a snapshot", resource=native_id)
    return snapshot


def _run(call: Call, environ: dict[str, Any]) -> tuple[str, list[tuple[str, str]], bytes]:
    try:
        chunks, status, headers = run_wsgi_app(_moto, environ, buffered=True)
        return status, list(headers), b"".join(chunks)
    except ConnectionError:
        raise
    except Exception as error:  # noqa: BLE001  (moto raises anything for what it does not know)
        _log.warning("moto failed at %s: %r", call.operation, error)
        code, content_type, body = error_reply(call, "broken", f"moto: {error!r}")
        return f"{code} Error", [("Content-Type", content_type), ("Content-Length", str(len(body)))], body


def _answer(start_response: Callable[..., Any], code: int, content_type: str, body: bytes) -> Iterable[bytes]:
    start_response(f"{code} Error", [("Content-Type", content_type), ("Content-Length", str(len(body)))])
    return [body]


def _short(body: bytes) -> Iterable[bytes]:
    yield body[: len(body) // 2]
    raise ConnectionAbortedError("cut in the middle of the body, as ordered")


class _Handler(MotoRequestHandler):
    protocol_version = "HTTP/1.1"

    def log(self, type: str, message: str, *args: Any) -> None:  # noqa: ARG002  (werkzeug's)
        """Nothing on the terminal: the demo's own lines are to be read there."""
        _log.debug(message, *args)

    def connection_dropped(self, error: BaseException, environ: Any = None) -> None:  # noqa: ARG002
        """Close for good: the other side is to see a dead connection, not one that waits."""
        self.close_connection = True


class _Server(ThreadedWSGIServer):
    def log(self, type: str, message: str, *args: Any) -> None:  # noqa: ARG002  (werkzeug's)
        """As the handler's."""
        _log.debug(message, *args)
