"""Client tokens: the same request again answers with what it made before, another one under the token is refused.

"If the request parameters are different, the request fails with IdempotentParameterMismatch" (EC2 API, "Ensuring
idempotency in Amazon EC2 API requests"); moto makes a second one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from moto.ec2.exceptions import EC2ClientError


def once(response: Any, make: Callable[[], Any]) -> Any:
    """What `make` makes for the request of `response`, or what was made for its token before, whatever became of it."""
    token = response._get_param("ClientToken")
    if not token:
        return make()
    said = {key: value for key, value in response.data.items() if key != "ClientToken"}
    tokens = response.ec2_backend.__dict__.setdefault("spent_tokens", {})
    place = str(said.get("Action")), token
    before = tokens.get(place)
    if before is None:
        before = tokens[place] = said, make()
    elif before[0] != said:
        raise EC2ClientError("IdempotentParameterMismatch", "The client token was used with other parameters")
    return before[1]
