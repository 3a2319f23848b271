"""Point ids: names that prove where they come from.

A point's id goes into the tags of every snapshot in the creating call. Tags can be forged by whoever may tag; the id
cannot, without the site's signing key: it is an HMAC over what the tags say.
"""

from __future__ import annotations

import base64
import hmac

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from drorch.crypto.minisign import SecretKey
from drorch.domain.errors import Refused

ID_LENGTH = 20
"""Characters of a point id: base32, lower case, 100 bits."""

ATTEMPTS = 64
"""How many attempts at one slot `verify_point_id` looks through; each costs one HMAC."""

_SITE_KEY_INFO = b"drorch point id"


def site_key(secret: SecretKey) -> bytes:
    """The site's id key (32 bytes, a secret).

    HKDF-SHA-256 (RFC 5869) with the 64-byte Ed25519 secret key of the minisign file (seed, then public key) as input,
    an empty salt, and the info ``drorch point id``.
    """
    return HKDF(algorithm=SHA256(), length=32, salt=b"", info=_SITE_KEY_INFO).derive(secret.secret_bytes)


def point_id(site_key: bytes, application: str, resource: str, slot: str, attempt: int) -> str:
    """The id of the ``attempt``-th try (from 1) at the point of a resource in a slot.

    The first 20 characters of the lower-case base32 (RFC 4648) of HMAC-SHA-256 over
    ``application 0x00 resource 0x00 slot 0x00 attempt``: UTF-8, the attempt in decimal, the slot as tags have it.
    Raises Refused for a name with a NUL in it (two points could get one id) and for an attempt below 1.
    """
    if attempt < 1 or any("\0" in name for name in (application, resource, slot)):
        raise Refused("no point id for these names", cause="a NUL in a name, or an attempt below 1", resource=resource)
    message = "\0".join((application, resource, slot, str(attempt))).encode("utf-8", "surrogatepass")
    digest = hmac.digest(site_key, message, "sha256")
    return base64.b32encode(digest).decode("ascii").lower()[:ID_LENGTH]


def verify_point_id(site_key: bytes, point: str, application: str, resource: str, slot: str) -> int | None:
    """The attempt (from 1) at this slot whose id ``point`` is, or None: then this site did not give it.

    Tags do not say the attempt, so the first `ATTEMPTS` are tried. Names that have no id have no attempt either.
    """
    given = point.encode("utf-8", "surrogatepass")
    if "\0" in application + resource + slot:
        return None
    for attempt in range(1, ATTEMPTS + 1):
        expected = point_id(site_key, application, resource, slot, attempt)
        if hmac.compare_digest(expected.encode("ascii"), given):
            return attempt
    return None
