"""One resumable upload session, pushed chunk by chunk.

https://cloud.google.com/storage/docs/performing-resumable-uploads: a chunk is a PUT with its place in `Content-Range`,
answered 308 with the range that is safe; after a lost reply an empty PUT asks how much that is. The last one bears
the whole object's CRC-32C: GCS makes no object of other bytes (https://cloud.google.com/storage/docs/data-validation).
"""

from __future__ import annotations

import re
import time
from typing import Any

from drorch.domain.errors import OutcomeUnknown, Unavailable
from drorch.stores.gcs.errors import answered, mapped

ATTEMPTS = 6
"""Attempts at one chunk, with the pause doubled each time."""
PAUSE = 0.5
"""Seconds before the second attempt."""
_CANCELLED = 499
_RANGE = re.compile(r"bytes=0-(\d{1,18})(?!\d)", re.ASCII)


class Session:
    """The session behind `url`, which is its own authorisation. Not for several threads."""

    def __init__(self, http: Any, url: str, *, vault: str, path: str, timeout: tuple[float, float]) -> None:
        self._http = http
        self._url = url
        self._vault = vault
        self._path = path
        self._timeout = timeout
        self._sent = 0
        self._digest = ""

    def send(self, part: bytes | bytearray | memoryview) -> None:
        """Push the next whole part; its end is a multiple of 256 KiB."""
        self._push(memoryview(part), total="*")

    def finish(self, last: bytes, digest: str) -> None:
        """Push what is left, with the total size: the object becomes visible. AlreadyExists when the path is taken.

        `digest`: of all bytes, CRC-32C in base64. Damaged when others arrived; OutcomeUnknown when no reply came;
        NotFound when the session has ended.
        """
        self._digest = digest
        self._push(memoryview(last), total=str(self._sent + len(last)))

    def cancel(self) -> None:
        """End the session; what was sent is dropped. Asked once."""
        with mapped("gcs cancel upload", resource=self._path, vault=self._vault):
            self._http.delete(self._url, headers={"Content-Length": "0"}, timeout=self._timeout)

    def _push(self, part: memoryview, total: str) -> None:
        start, end = self._sent, self._sent + len(part)
        final = total != "*"
        lost: Exception | None = None
        for attempt in range(ATTEMPTS):
            if attempt:
                time.sleep(PAUSE * 2 ** (attempt - 1))
            ask_only = lost is not None
            try:
                done, safe = self._put(part[self._sent - start :], total, ask_only=ask_only)
            except (Unavailable, OutcomeUnknown) as error:
                lost = lost if isinstance(lost, OutcomeUnknown) else error
                continue
            if done:
                self._sent = end
                return
            if not start <= safe <= end:
                raise self._stuck(f"GCS lost bytes that it had: {safe} of {self._sent}")
            self._sent = safe
            if safe == end and not final:
                return
            lost = None
        raise lost or self._stuck("GCS takes no more bytes of this upload")

    def _stuck(self, message: str) -> Unavailable:
        return Unavailable(message, operation="gcs objects.insert", vault=self._vault, resource=self._path)

    def _put(self, rest: memoryview, total: str, *, ask_only: bool) -> tuple[bool, int]:
        """(finished, bytes that are safe) after one PUT of `rest`, or of nothing when it only asks."""
        empty = ask_only or not rest
        span = f"*/{total}" if empty else f"{self._sent}-{self._sent + len(rest) - 1}/{total}"
        headers = {"Content-Range": f"bytes {span}"}
        if self._digest:
            headers["X-Goog-Hash"] = f"crc32c={self._digest}"
        with mapped("gcs objects.insert", resource=self._path, vault=self._vault, mutates=total != "*"):
            reply = self._http.put(
                self._url,
                data=b"" if empty else rest,
                headers=headers,
                timeout=self._timeout,
                allow_redirects=False,
            )
            if reply.status_code in (200, 201):
                return True, self._sent + len(rest)
            if reply.status_code == 308:
                known = _RANGE.match(reply.headers.get("Range", ""))
                return False, int(known.group(1)) + 1 if known else 0
            raise answered(reply)
