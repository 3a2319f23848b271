"""Google Cloud Storage in this process: a repaired gcp-storage-emulator that can fail calls and count them."""

from __future__ import annotations

import json
import logging
import re
import threading
from collections import Counter
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

from gcp_storage_emulator.exceptions import BadRequest, NotFound
from gcp_storage_emulator.handlers import buckets, objects
from gcp_storage_emulator.server import HANDLERS, Request, Response, _read_raw_data

from drorch.demo.faults import Faults, Mode
from drorch.demo.gcs_storage import HeldObject, PreconditionFailed, RepairedStorage
from drorch.domain.errors import Refused

_DEFAULT_PAGE = 1000
_CANCELLED = 499
_log = logging.getLogger("drorch.demo.gcs")
_NAMES = {"insert": "objects.insert", "upload_partial": "objects.insert", "ls": "objects.list"}
_FAILURES = {"before": 503, "throttle": 429, "credentials-expired": 401, "denied": 403}


class EmbeddedGcs:
    """A context manager; the store is empty when it starts and lives in memory."""

    def __init__(self) -> None:
        self.faults = Faults()
        self.lock = threading.Lock()
        self.page_cap: int | None = None
        self._storage = RepairedStorage()
        self._pages: dict[str, bytes] = {}
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Serve on a free port of 127.0.0.1."""
        self._server = _Server(("127.0.0.1", 0), partial(_Handler, self))
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Connections are refused from now on. Harmless twice."""
        server, self._server = self._server, None
        if server is None or self._thread is None:
            return
        server.shutdown()
        server.server_close()
        self._thread.join()

    def __enter__(self) -> EmbeddedGcs:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """For ``STORAGE_EMULATOR_HOST``."""
        if self._server is None:
            raise Refused("the embedded GCS is stopped", operation="find the address of the embedded GCS")
        return f"http://127.0.0.1:{self._server.server_port}"

    def create_bucket(
        self, name: str, *, retention_seconds: int = 0, versioned: bool = False, object_retention: bool = False
    ) -> None:
        """A bucket without soft delete; `retention_seconds` keeps every object at least that long.

        `object_retention` lets objects have a retention of their own.
        """
        with self.lock:
            buckets.create_bucket(name, self._storage)
            bucket = self._storage.get_bucket(name)
            bucket["softDeletePolicy"] = {"retentionDurationSeconds": "0"}
            if retention_seconds:
                bucket["retentionPolicy"] = {"retentionPeriod": str(retention_seconds)}
            if versioned:
                bucket["versioning"] = {"enabled": True}
            if object_retention:
                bucket["objectRetention"] = {"mode": "Enabled"}

    @property
    def calls(self) -> Counter[tuple[str, str, str]]:
        """Calls so far: ``("gcs", "objects.insert", "")`` (each request of an upload counts), ``objects.list`` ..."""
        return self.faults.calls

    def fail_next(self, operation: str, mode: Mode, *, times: int = 1) -> None:
        """See `Faults.fail_next`; operations: ``objects.insert``, ``.get``, ``.download``, ``.list``, ``.delete``."""
        self.faults.fail_next(operation, mode, times=times)

    def stale(self, operation: str, passes: int) -> None:
        """See `Faults.stale`, for ``objects.list``."""
        self.faults.stale(operation, passes)

    def half(self, operation: str, times: int = 1) -> None:
        """See `Faults.half`, for ``objects.list``; `page_cap` makes listings long enough."""
        self.faults.half(operation, times)

    # --- one request ---------------------------------------------------------------------------------------------

    def serve(self, request: Any, response: Any) -> Mode | None:
        """Fill `response`; the fault that is still to strike it (``after``, ``short``) is returned."""
        if request.query.get("uploadType") == ["media"]:  # the emulator would parse JSON, and stumble over nothing
            request._data = _read_raw_data(request._request_handler) or b""
        body = request.data  # read before the lock: it arrives as slowly as the client likes
        handler, operation = _route(request)
        later_page = "pageToken" in request.query
        self.faults.count("gcs", operation, "")
        fault = self.faults.take(operation, "", later_page=later_page)
        if fault in _FAILURES:
            _refuse(response, _FAILURES[fault], f"{fault}, as ordered")
            return None
        if handler is None:
            _refuse(response, HTTPStatus.NOT_IMPLEMENTED, f"{request.method} {request.path}")
            return None
        _log.debug("%s %s (%d bytes)", request.method, request.path, len(body or b""))
        stale = operation == "objects.list" and self.faults.take_stale(operation, later_page=later_page)
        if stale and request.full_url in self._pages:
            _send_json(response, self._pages[request.full_url])
            return fault
        with self.lock:
            self._storage.conditions = request.query
            self._storage.announced = request.get_header("x-goog-hash", "")
            try:
                self._handle(handler, request, response)
            except PreconditionFailed:
                not_modified = request.method == "GET" and "ifGenerationNotMatch" in request.query
                code = HTTPStatus.NOT_MODIFIED if not_modified else HTTPStatus.PRECONDITION_FAILED
                _refuse(response, code, "conditionNotMet")
            except HeldObject as error:
                _refuse(response, HTTPStatus.FORBIDDEN, str(error))
            except BadRequest as error:
                _refuse(response, HTTPStatus.BAD_REQUEST, str(error))
            finally:
                self._storage.conditions, self._storage.announced = {}, ""
        return fault

    def _handle(self, handler: Any, request: Any, response: Any) -> None:
        if handler is objects.ls:
            self._list(request, response)
            return
        if handler in (objects.get, objects.download):
            bucket, name = request.params["bucket_name"], request.params["object_id"]
            self._storage.require_generation(bucket, name)
            if wanted := request.query.get("generation"):
                try:
                    with self._storage.showing(bucket, name, wanted[0]):
                        handler(request, response, self._storage)
                except NotFound:
                    _refuse(response, HTTPStatus.NOT_FOUND, "No such object at this generation")
                return
        if handler is objects.patch:
            self._storage.require_patchable(request.params["bucket_name"], request.params["object_id"], request.data)
        handler(request, response, self._storage)

    def _list(self, request: Any, response: Any) -> None:
        """Objects in pages: the emulator ignores maxResults."""
        objects.ls(request, response, self._storage)
        if response.status != HTTPStatus.OK:
            return
        reply = json.loads(response._content)
        items = reply["items"]
        if (request.query.get("versions") or [""])[0].lower() == "true":
            items += self._storage.versions(request.params["bucket_name"], (request.query.get("prefix") or [""])[0])
            items.sort(key=lambda item: (item["name"], int(item["generation"])))
        start = int((request.query.get("pageToken") or ["0"])[0])
        size = int((request.query.get("maxResults") or [str(_DEFAULT_PAGE)])[0])
        end = start + min(value for value in (size, self.page_cap, _DEFAULT_PAGE) if value is not None)
        reply["items"] = items[start:end]
        if start:
            reply["prefixes"] = []
        if end < len(items):
            reply["nextPageToken"] = str(end)
        page = json.dumps(reply).encode()
        self._pages[request.full_url] = page
        _send_json(response, page)

    def cancel(self, request: Any, response: Any) -> None:
        """Give up a resumable upload: 499, as the documentation of resumable uploads has it."""
        with self.lock:
            self._storage.forget_session(request.query["upload_id"][0])
        response.status = _Status(_CANCELLED, "Client Closed Request")


def _route(request: Any) -> tuple[Any, str]:
    for pattern, handlers in HANDLERS:
        if match := re.fullmatch(pattern, request.path):
            request.set_match(match)
            handler = handlers.get(request.method)
            name = getattr(handler, "__name__", request.method)
            if handler is objects.get and request.query.get("alt") == ["media"]:
                name = "download"
            owner = "buckets" if getattr(handler, "__module__", "") == buckets.__name__ else "objects"
            return handler, _NAMES.get(name, f"objects.{name}") if owner == "objects" else f"buckets.{name}"
    return None, request.method


class _Status:
    """A status that HTTPStatus does not know."""

    def __init__(self, value: int, phrase: str) -> None:
        self.value, self.phrase = value, phrase


def _refuse(response: Any, code: int, message: str) -> None:
    response.status = HTTPStatus(code)
    if code == HTTPStatus.NOT_MODIFIED:
        return
    response.json({"error": {"code": int(code), "message": message, "errors": [{"message": message}]}})


def _send_json(response: Any, body: bytes) -> None:
    response.write_file(body, content_type="application/json")


class _Handler(BaseHTTPRequestHandler):
    """One request per connection; the Date header comes from `send_response`."""

    def __init__(self, cloud: EmbeddedGcs, *args: Any) -> None:
        self.cloud = cloud
        super().__init__(*args)

    def _answer(self) -> None:
        method = self.headers.get("x-http-method-override") or self.command
        request, response = Request(self, method), Response(self)
        if method == "DELETE" and "upload_id" in request.query:
            self.cloud.cancel(request, response)
            response.close()
            return
        fault = self.cloud.serve(request, response)
        if fault == "after":
            return  # closed without a reply
        if fault == "short":
            self.wfile = _HalfWriter(self.wfile, response._content)  # type: ignore[assignment]
        response.close()

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _answer  # noqa: N815  (http.server's names)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing on the terminal: the demo's own lines are to be read there."""
        _log.debug(format, *args)


class _HalfWriter:
    """Writes only half of `body`, everything else whole."""

    def __init__(self, sink: Any, body: Any) -> None:
        self._sink, self._body = sink, body

    def write(self, data: bytes) -> int:
        """As a file's; the announced length stays, so that the client sees a short stream."""
        return int(self._sink.write(data[: len(data) // 2] if data is self._body else data))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sink, name)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002  (socketserver's)
        """A client that went away is not worth a traceback."""
        _log.debug("request from %s failed", client_address, exc_info=True)
