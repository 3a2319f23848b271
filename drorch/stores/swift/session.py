"""Requests to one account: repeated while Swift fails or cannot be reached, signed anew when a token has ended."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from drorch.domain.errors import OutcomeUnknown, Unavailable
from drorch.stores.swift.account import Account, SignIn, ca_file
from drorch.stores.swift.errors import answered, mapped

PATIENCE = 60.0
"""Seconds for which one call is repeated while Swift fails or cannot be reached."""
PAUSE = 0.5
"""Seconds before the second attempt, doubled each time."""
CONNECT_SECONDS, READ_SECONDS = 10, 60
POOL = 32
"""Connections that are kept: uploads and reads run side by side."""


class Session:
    """The container `container` of the account behind `sign_in`. Safe for threads."""

    def __init__(self, sign_in: SignIn, container: str, vault: str, *, patience: float = PATIENCE) -> None:
        import requests
        from requests.adapters import HTTPAdapter

        self.http = requests.Session()
        for scheme in ("http://", "https://"):
            self.http.mount(scheme, HTTPAdapter(pool_connections=POOL, pool_maxsize=POOL))
        self._sign_in = sign_in
        self._container = container
        self._vault = vault
        self._patience = patience
        self._authority: dict[str, Any] = {"verify": ca_file()} if ca_file() else {}

    def ask(
        self,
        operation: str,
        path: str,
        method: str,
        name: str = "",
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes | bytearray | None = None,
        expected: tuple[int, ...] = (),
        stream: bool = False,
        mutates: bool = False,
        seconds: float = READ_SECONDS,
    ) -> Any:
        """The reply of 200 to 299, or of a status that is `expected`. `path` is what errors name, `name` the object.

        Every request here may be repeated. With `mutates` an attempt whose reply was lost makes the end
        OutcomeUnknown, whatever later ones met, unless one of them was answered.
        """
        asked = {
            "method": method,
            "params": dict(query or {}),
            "data": body,
            "stream": stream,
            "timeout": (CONNECT_SECONDS, seconds),
            "allow_redirects": False,
        }
        where = {"operation": operation, "resource": path, "vault": self._vault}
        end, pause = time.monotonic() + self._patience, PAUSE
        unknown: OutcomeUnknown | None = None
        while True:
            try:
                with mapped(**where, mutates=mutates):
                    reply = self._signed(name, dict(headers or {}), asked)
                if 200 <= reply.status_code < 300 or reply.status_code in expected:
                    return reply
                reply.close()
                raise answered(reply, **where, mutates=mutates)
            except (Unavailable, OutcomeUnknown) as error:
                unknown = error if isinstance(error, OutcomeUnknown) else unknown
                if time.monotonic() + pause > end:
                    raise unknown or error from (unknown or error).__cause__
            time.sleep(pause)
            pause *= 2

    def close(self) -> None:
        """Close every connection."""
        self.http.close()

    def _signed(self, name: str, headers: dict[str, str], asked: Mapping[str, Any]) -> Any:
        """One request; with a new token once more where the first is refused."""
        account = self._sign_in.account()
        reply = self._send(account, name, headers, asked)
        if reply.status_code == 401:
            reply.close()
            reply = self._send(self._sign_in.renewed(account), name, headers, asked)
        return reply

    def _send(self, account: Account, name: str, headers: dict[str, str], asked: Mapping[str, Any]) -> Any:
        url = f"{account.url}/{quote(self._container, safe='')}"
        if name:
            url += "/" + quote(name)
        signed = {"Accept-Encoding": "identity", "X-Auth-Token": account.token, **headers}
        return self.http.request(url=url, headers=signed, **self._authority, **asked)
