"""Where connections to what a drill made may come from, as a policy names it."""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated

from pydantic import AfterValidator, StrictStr

from drorch.domain.explain import fault


def _check_reach(text: str) -> str:
    if re.fullmatch(r"sg-[0-9a-f]+", text):
        return text
    try:
        network = ipaddress.ip_network(text)
    except ValueError:
        raise fault(f"{text[:60]!r} is no source", "a network such as 10.0.0.0/8, or a security group sg-...") from None
    if network.prefixlen == 0:
        raise fault("that is everybody", "name the networks that probes come from")
    return str(network)


Reach = Annotated[StrictStr, AfterValidator(_check_reach)]
"""Where connections may come from: a network in CIDR form, or a security group."""
