"""A whole OpenStack Swift in one process: account, container, object and proxy server, on ordinary files.

Run as ``python swift_process.py FOLDER``: it prints the proxy's port when it listens, and ends when its input does.
The object server must be able to set extended attributes in FOLDER.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

ACCOUNT_USER, KEY = "test:tester", "testing"
FILTERS = (
    "catch_errors gatekeeper healthcheck cache listing_formats bulk s3api tempauth copy container_quotas slo dlo"
    " versioned_writes symlink"
)
"""The pipeline before the proxy, in the order of Swift's own sample."""
SETTINGS = {
    "cache": "paste.filter_factory = swift_process:cache_filter",
    "tempauth": f"use = egg:swift#tempauth\nuser_{ACCOUNT_USER.replace(':', '_')} = {KEY} .admin",
    "s3api": "use = egg:swift#s3api\ns3_acl = false\ncheck_bucket_owner = false\nlocation = us-east-1",
    "versioned_writes": "use = egg:swift#versioned_writes\nallow_object_versioning = true",
}


class Memory:
    """What Swift keeps in memcached: tokens, and what it knows of accounts and containers."""

    def __init__(self) -> None:
        self._held: dict[str, tuple[Any, float]] = {}

    def set(self, key: str, value: Any, serialize: bool = True, time: float = 0, **_: Any) -> None:
        self._held[key] = (value, self._end(time))

    def get(self, key: str, **_: Any) -> Any:
        value, end = self._held.get(key, (None, 0.0))
        return value if end > time.time() else None

    def incr(self, key: str, delta: int = 1, time: float = 0) -> int:
        value = max(0, int(self.get(key) or 0) + delta)
        self.set(key, value, time=time)
        return value

    def decr(self, key: str, delta: int = 1, time: float = 0) -> int:
        return self.incr(key, -delta, time)

    def delete(self, key: str, **_: Any) -> None:
        self._held.pop(key, None)

    @staticmethod
    def _end(after: float) -> float:
        return time.time() + after if after else float("inf")


def cache_filter(_settings: Any, **_: Any) -> Any:
    """A filter for the pipeline: puts `Memory` where Swift looks for its memcached client."""
    memory = Memory()

    def filtered(app: Any) -> Any:
        def call(environ: dict[str, Any], start_response: Any) -> Any:
            environ["swift.cache"] = memory
            return app(environ, start_response)

        return call

    return filtered


def _ring(folder: Path, name: str, port: int) -> None:
    from swift.common.ring import RingBuilder

    builder = RingBuilder(part_power=2, replicas=1, min_part_hours=0)
    place = {"region": 1, "zone": 1, "ip": "127.0.0.1", "port": port, "device": "d1", "weight": 1}
    builder.add_dev({"id": 0, "meta": "", "replication_ip": "127.0.0.1", "replication_port": port, **place})
    builder.rebalance()
    builder.get_ring().save(str(folder / f"{name}.ring.gz"))


def _proxy_settings(folder: Path) -> Path:
    text = f"[DEFAULT]\nswift_dir = {folder}\n[pipeline:main]\npipeline = {FILTERS} proxy-server\n"
    text += "[app:proxy-server]\nuse = egg:swift#proxy\naccount_autocreate = true\n"
    for name in FILTERS.split():
        text += f"[filter:{name}]\n{SETTINGS.get(name, f'use = egg:swift#{name}')}\n"
    path = folder / "proxy.conf"
    path.write_text(text)
    return path


def serve(folder: Path) -> None:
    """Start all four, and stay until the standard input ends."""
    from swift.common.utils import monkey_patch

    monkey_patch()
    (folder / "swift.conf").write_text("[swift-hash]\nswift_hash_path_suffix = tests\nswift_hash_path_prefix = tests\n")
    from swift.common.utils import set_swift_dir

    set_swift_dir(str(folder))
    import eventlet
    from eventlet import wsgi
    from swift.account.server import AccountController
    from swift.common.http_protocol import SwiftHttpProtocol
    from swift.common.utils import NullLogger
    from swift.common.wsgi import loadapp
    from swift.container.server import ContainerController
    from swift.obj.server import ObjectController

    devices = folder / "disks"
    (devices / "d1").mkdir(parents=True)
    common = {
        "swift_dir": str(folder),
        "devices": str(devices),
        "mount_check": "false",
        "fallocate_reserve": "0",
        "log_address": "/nonexistent",
    }
    makers = {"account": AccountController, "container": ContainerController, "object": ObjectController}
    listeners = {name: eventlet.listen(("127.0.0.1", 0)) for name in (*makers, "proxy")}
    for name in makers:
        _ring(folder, name, listeners[name].getsockname()[1])
    apps: dict[str, Any] = {name: maker(common) for name, maker in makers.items()}
    apps["proxy"] = loadapp(str(_proxy_settings(folder)), global_conf={"log_name": "proxy"})
    for name, app in apps.items():
        eventlet.spawn(wsgi.server, listeners[name], app, NullLogger(), protocol=SwiftHttpProtocol, log_output=False)
    print(listeners["proxy"].getsockname()[1], flush=True)  # noqa: T201
    eventlet.tpool.execute(sys.stdin.buffer.read)


if __name__ == "__main__":
    sys.modules["swift_process"] = sys.modules["__main__"]
    serve(Path(sys.argv[1]))
    os._exit(0)
