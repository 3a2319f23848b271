"""Asking an address for its status, as a health check does: no redirects, no proxies of the environment."""

from __future__ import annotations

import http.client
from urllib.parse import urlsplit

from drorch.domain.errors import Unavailable

PATIENCE_S = 10.0


class HttpAnswers:
    """HTTP and HTTPS with the certificates of this host (AnswersHttp)."""

    def status(self, address: str) -> int:
        """GET; of the answer nothing but the status is read."""
        url = urlsplit(address)
        connect = http.client.HTTPSConnection if url.scheme == "https" else http.client.HTTPConnection
        connection = connect(url.hostname or "", url.port, timeout=PATIENCE_S)
        path = (url.path or "/") + (f"?{url.query}" if url.query else "")
        try:
            connection.request("GET", path, headers={"User-Agent": "drorch"})
            return connection.getresponse().status
        except (OSError, http.client.HTTPException) as error:
            cause = f"{address}: {str(error) or type(error).__name__}"
            raise Unavailable("nobody answers", operation="wait", cause=cause) from error
        finally:
            connection.close()
