"""When servers are asked for their databases, and what is in force when they cannot be."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from passes import NOW, loaded, policy, resource
from planning import dumped, point, seen
from policy_words import Several

from drorch.app.cache import Cache
from drorch.app.databases import Answer, DatabaseLists, Question
from drorch.app.policies import PolicySet
from drorch.domain.catalogue import Catalogue
from drorch.domain.errors import Unavailable
from drorch.domain.policy import Policy, Retired
from drorch.domain.template import resource_name

MINUTE = timedelta(minutes=1)
DOWN = Unavailable("the database cannot be reached")


class Server:
    """Answers what it has, or nothing at all."""

    def __init__(self, *databases: str) -> None:
        self.databases: Answer = databases
        self.asked: list[str] = []

    def __call__(self, questions: Sequence[Question]) -> Sequence[Answer]:
        self.asked += [question.application for question in questions]
        return [self.databases for _ in questions]


class NoWorker(Server):
    """Of which not even a worker starts."""

    def __call__(self, questions: Sequence[Question]) -> Sequence[Answer]:
        raise Unavailable("a worker did not start")


def policies(application: str = "shop", **changes: object) -> PolicySet:
    made = resource("cluster", "postgres", options=Several(), template=True, drill=None)
    return PolicySet((loaded(policy(application, [made]).model_copy(update=changes)),))


def nothing(_policy: Policy) -> Catalogue:
    return Catalogue("shop")


def with_points(*databases: str) -> Catalogue:
    return seen(
        *(
            point(
                "2026-11-20T08:00Z",
                dumped("gcs-eu"),
                of=resource_name("cluster", each),
                facts={"origin": {"template": "cluster", "database": each}},
            )
            for each in databases
        )
    ).catalogue


def names(of: PolicySet) -> list[str]:
    return [each.name for each in of.valid[0].policy.resources]


def why(of: PolicySet) -> str:
    return of.valid[0].policy.templates[0].why


def test_a_server_is_asked_every_quarter_of_an_hour_and_its_answer_holds_meanwhile() -> None:
    server = Server("orders")
    lists = DatabaseLists(Cache(None, ""), server)
    for minute in range(31):
        assert names(lists.expand(policies(), nothing, NOW + minute * MINUTE)) == ["cluster_orders"]
    assert len(server.asked) == 3
    server.databases = ("orders", "new")
    assert names(lists.expand(policies(), nothing, NOW + 44 * MINUTE)) == ["cluster_orders"]
    assert names(lists.expand(policies(), nothing, NOW + 45 * MINUTE)) == ["cluster_new", "cluster_orders"]


def test_the_last_answer_stays_in_force_while_the_server_cannot_be_asked() -> None:
    server, cache = Server("orders", "stock"), Cache(None, "")
    DatabaseLists(cache, server).expand(policies(), nothing, NOW)
    server.databases = DOWN
    for lists in (DatabaseLists(cache, server), DatabaseLists(cache, NoWorker())):
        made = lists.expand(policies(), nothing, NOW + 20 * MINUTE)
        assert names(made) == ["cluster_orders", "cluster_stock"]
        assert why(made).endswith("; those of 2026-11-20T09:30:00Z are meant")
        assert all(each.origin and each.origin.listed for each in made.valid[0].policy.resources)
    quiet = DatabaseLists(cache).expand(policies(), nothing, NOW + 40 * MINUTE)
    assert (names(quiet), why(quiet)) == (["cluster_orders", "cluster_stock"], "")


def test_without_an_answer_the_points_tell_the_databases_and_the_server_is_asked_again_sooner() -> None:
    server = Server()
    server.databases = DOWN
    lists = DatabaseLists(Cache(None, ""), server)
    made = lists.expand(policies(), lambda _: with_points("orders", "Stock"), NOW)
    assert names(made) == [resource_name("cluster", "Stock"), "cluster_orders"]
    assert not any(each.origin and each.origin.listed for each in made.valid[0].policy.resources)
    assert "cannot be reached; those of which there are points are meant" in why(made)
    server.databases = ("orders",)
    again = lists.expand(policies(), lambda _: with_points("orders", "Stock"), NOW + 5 * MINUTE)
    assert (names(again), why(again)) == (["cluster_orders"], "")


def test_a_fault_in_one_application_leaves_the_others_as_they_are() -> None:
    def broken(_policy: Policy) -> Catalogue:
        raise KeyError("no such thing")

    both = PolicySet((*policies().valid, loaded(policy("bank"))))
    made = DatabaseLists(Cache(None, "")).expand(both, broken, NOW)
    assert names(made) == ["cluster"]
    assert "a fault in drorch itself: KeyError" in why(made)
    assert made.valid[1] == both.valid[1]


def test_the_answer_of_another_server_is_no_answer() -> None:
    class Moved(Several):
        server: str = "db2:5432"

    cache = Cache(None, "")
    DatabaseLists(cache, Server("orders")).expand(policies(), nothing, NOW)
    moved = policies()
    cluster = moved.valid[0].policy.resources[0].model_copy(update={"options": Moved()})
    of = PolicySet((loaded(moved.valid[0].policy.model_copy(update={"resources": (cluster,)})),))
    assert names(DatabaseLists(cache).expand(of, nothing, NOW)) == ["cluster"]


def test_of_an_application_that_left_nobody_is_asked_and_every_database_that_was_is_kept_track_of() -> None:
    server, cache = Server("orders"), Cache(None, "")
    DatabaseLists(cache, server).expand(policies(), nothing, NOW)
    gone = policies(retired=Retired(since=NOW, reason="sold"))
    lists = DatabaseLists(cache, server)
    made = lists.expand(gone, lambda _: with_points("stock"), NOW + 60 * MINUTE)
    assert names(made) == ["cluster_orders", "cluster_stock"]
    assert why(made) == ""
    assert len(server.asked) == 1


def test_policies_without_templates_stay_as_they_are() -> None:
    plain = PolicySet((loaded(policy()),))
    assert DatabaseLists(Cache(None, ""), NoWorker()).expand(plain, nothing, NOW).valid[0].policy is not None
    assert DatabaseLists(Cache(None, ""), NoWorker()).expand(plain, nothing, NOW) == plain
