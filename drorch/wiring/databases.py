"""Servers asked for their databases, by one worker for all of them: their drivers stay out of this process."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

from drorch.app.databases import Answer, Question
from drorch.app.jobs import ListJob, ServerSpec
from drorch.app.runner import LocalRunner
from drorch.app.worker_protocol import error_of
from drorch.domain.errors import DrorchError, Unavailable
from drorch.wiring.jobs import credentials, host_spec, options_json

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
        answers = _answers(host, ListJob(tuple(servers.values()), host_spec(host)))
        found |= dict(zip(servers, answers, strict=True))
    return [found[number] for number in range(len(questions))]


def _answers(host: Host, job: ListJob) -> list[Answer]:
    handle = LocalRunner(environ=host.environ).start(job)
    outcome = handle.wait(PATIENCE)
    if outcome is None:
        handle.cancel()
        handle.wait(_END)
        raise Unavailable("the servers did not answer", operation="list", cause=f"not within {PATIENCE.seconds} s")
    return [
        error_of(answer["failed"]) if "failed" in answer else tuple(answer["databases"])
        for answer in outcome.get()["servers"]
    ]
