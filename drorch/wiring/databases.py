"""Servers asked for their databases."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

from drorch.app.databases import Answer, Question
from drorch.app.jobs import ListJob, ServerSpec
from drorch.app.worker_protocol import error_of
from drorch.domain.errors import DrorchError
from drorch.wiring.jobs import credentials, host_spec, options_json
from drorch.wiring.servers import answers

if TYPE_CHECKING:
    from drorch.wiring.host import Host

PATIENCE = timedelta(seconds=30)
"""What a pass waits for all answers: longer than a server may take to let us in and to answer."""
_END = timedelta(seconds=10)


def ask_servers(host: Host, questions: Sequence[Question]) -> Sequence[Answer]:
    """The databases behind each template, or why they are not known now. Raises Unavailable when no worker answers."""
    found: dict[int, Answer] = {}
    servers: dict[int, ServerSpec] = {}
    for number, question in enumerate(questions):
        resource = question.template
        try:
            secrets = credentials(host, resource.options, question.application)
        except DrorchError as error:
            found[number] = error
        else:
            servers[number] = ServerSpec(resource.kind, options_json(resource.options), secrets)
    if servers:
        told = _answers(host, ListJob(tuple(servers.values()), host_spec(host)))
        found |= dict(zip(servers, told, strict=True))
    return [found[number] for number in range(len(questions))]


def _answers(host: Host, job: ListJob) -> list[Answer]:
    found = answers(host, job, operation=job.name, patience=PATIENCE, end=_END)
    return [error_of(one["failed"]) if "failed" in one else tuple(one["databases"]) for one in found]
