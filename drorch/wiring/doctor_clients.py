"""Database servers and the programs that dump them."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from drorch.app.doctor import Answer, Check, Verdict
from drorch.app.jobs import ServerSpec, VersionsJob
from drorch.domain.policy import Policy, ResourcePolicy
from drorch.wiring.jobs import credentials, host_spec, options_json
from drorch.wiring.servers import answers

if TYPE_CHECKING:
    from drorch.wiring.host import Host

SERVERLESS = frozenset({"files", "memory"})
_PATIENCE = timedelta(seconds=28)
"""For the worker: its start, and what it gives each server; within what one check may take."""
_END = timedelta(seconds=5)


class _Asked:
    """One worker's answers, asked for by whoever is first."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._servers: list[ServerSpec] = []
        self._lock = threading.Lock()
        self._answers: Sequence[Mapping[str, Any]] | None = None
        self._failed: Exception | None = None

    def add(self, server: ServerSpec) -> int:
        """The server's number."""
        self._servers.append(server)
        return len(self._servers) - 1

    def answer(self, number: int) -> Answer:
        """What was found of a server. Raises Unavailable when no worker answers."""
        with self._lock:
            if self._answers is None and self._failed is None:
                try:
                    self._answers = self._ask()
                except Exception as error:  # noqa: BLE001  every server's check is to say it
                    self._failed = error
        if self._failed is not None:
            raise self._failed
        found = (self._answers or [])[number]
        return Answer(Verdict(found["verdict"]), found["said"], found["hint"])

    def _ask(self) -> Sequence[Mapping[str, Any]]:
        job = VersionsJob(tuple(self._servers), host_spec(self._host))
        return answers(self._host, job, operation="doctor", patience=_PATIENCE, end=_END)


def checks(host: Host, policies: Sequence[Policy]) -> Iterator[Check]:
    """One for each dump of a database."""
    asked = _Asked(host)
    for policy in policies:
        for resource in policy.resources:
            if not resource.native and resource.kind not in SERVERLESS:
                yield Check("client", f"{policy.application}/{resource.name}", _question(host, asked, policy, resource))


def _question(host: Host, asked: _Asked, policy: Policy, resource: ResourcePolicy) -> Any:
    try:
        secrets = credentials(host, resource.options, policy.application)
    except Exception as error:  # noqa: BLE001  told by the check
        return partial(_raise, error)
    return partial(asked.answer, asked.add(ServerSpec(resource.kind, options_json(resource.options), secrets)))


def _raise(error: Exception) -> Answer:
    raise error
