"""One entry of a policy for all databases of a server: the resources that it becomes, and what it may not say."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from passes import policy, resource
from planning import alarms, dumped, only, point, seen
from policy_words import KINDS, Several, policy_of, read, words

from drorch.domain.action import Cut, Expire, Hold, Mark
from drorch.domain.plan import plan
from drorch.domain.policy import Policy, is_name
from drorch.domain.template import LONGEST_NAME, Listing, expanded, meanings, recorded, resource_name
from drorch.domain.vocabulary import KindWords

HOST = words(kinds=KINDS | {"postgres": KindWords(Several, native=False)})
DATABASES = st.lists(st.text(min_size=1, max_size=70), max_size=6)
TEMPLATES = st.from_regex(rf"[a-z0-9][a-z0-9_-]{{0,{LONGEST_NAME - 1}}}", fullmatch=True)


def template(name: str = "cluster", **changes: object) -> Policy:
    values: dict[str, object] = {"options": Several(), "template": True, "drill": None}
    made = resource(name, "postgres", **(values | changes))
    return policy("shop", [made, resource("data", "ebs")])


def names(of: Policy) -> list[str]:
    return [r.name for r in of.resources]


def file(*lines: str) -> str:
    more = "".join(f"    {line}\n" for line in lines)
    return (
        "version: 1\napplication: shop\nhome: {account: prod, region: us-east-1}\n"
        "objectives: {region: {rpo: 9h}}\nresources:\n"
        "  - name: cluster\n    kind: postgres\n    schedule: {every: 6h}\n"
        f"    vaults: [s3-west]\n    keep: {{last: 3}}\n{more}"
    )


SECOND = (
    "  - name: {name}\n    kind: ebs\n    select: {{tags: {{a: b}}}}\n    schedule: {{every: 6h}}\n"
    "    copies: [{{region: us-west-2}}]\n    keep: {{last: 3}}\n"
)


# --- names -----------------------------------------------------------------------------------------------------------


@given(TEMPLATES, DATABASES)
def test_every_name_is_legal_and_two_databases_never_share_one(name: str, databases: list[str]) -> None:
    databases += [resource_name(name, each).removeprefix(f"{name}_") for each in databases]  # the worst neighbours
    made = {database: resource_name(name, database) for database in databases}
    assert all(is_name(each) and each.startswith(f"{name}_") for each in made.values())
    assert len(set(made.values())) == len(made)


@pytest.mark.parametrize(
    ("database", "becomes"),
    [
        ("orders", "cluster_orders"),
        ("orders_2024-old", "cluster_orders_2024-old"),
        ("_private", "cluster__private"),
        ("Orders", r"cluster_orders-"),
        ('Größe "x" it\'s', "cluster_groe-x-it-s-"),
        ("日本", "cluster_db-"),
        ("orders-0123456789", "cluster_orders-0123456789-"),
        ("x" * 63, f"cluster_{'x' * 44}-"),
    ],
)
def test_a_legal_name_stays_and_another_gets_a_legal_form_and_a_digest(database: str, becomes: str) -> None:
    name = resource_name("cluster", database)
    assert name == becomes or (becomes.endswith("-") and name.startswith(becomes) and len(name) == len(becomes) + 10)


# --- resources -------------------------------------------------------------------------------------------------------


@given(st.lists(st.text(min_size=1, max_size=20), unique=True, max_size=6), st.randoms())
def test_the_order_of_the_answer_is_irrelevant(databases: list[str], random: Any) -> None:
    shuffled = random.sample(databases, len(databases))
    one = expanded(template(), {"cluster": Listing(tuple(databases))})
    assert one == expanded(template(), {"cluster": Listing(tuple(shuffled))})


def test_every_database_becomes_an_ordinary_resource_of_its_own_dataset() -> None:
    made = expanded(template(floor=5), {"cluster": Listing(("orders", "tmp_1", "Stock"))})
    assert names(made) == [resource_name("cluster", "Stock"), "cluster_orders", "data"]
    stock, orders = made.resources[:2]
    assert (stock.dataset, orders.dataset) == (stock.name, orders.name)
    assert stock.options == Several(database="Stock")
    assert stock.origin is not None
    assert (stock.origin.template, stock.origin.database, stock.template) == ("cluster", "Stock", False)
    assert (stock.floor, stock.objectives) == (5, template().resources[0].objectives)


def test_databases_that_the_policy_names_need_no_answer() -> None:
    given_names = template(options=Several(named=("a", "b")))
    assert names(expanded(given_names, {})) == ["cluster_a", "cluster_b", "data"]


@pytest.mark.parametrize("listing", [None, Listing(why="no route"), Listing(("tmp_1",))])
def test_a_template_of_which_nothing_is_known_stays_with_its_promise_and_is_an_alarm(listing: Listing | None) -> None:
    made = expanded(template(), {} if listing is None else {"cluster": listing})
    assert names(made) == ["cluster", "data"]
    actions = plan(made, seen(), point("2026-11-20T09:00Z").cut_at, lambda *where: "/".join(map(str, where)))  # type: ignore[arg-type]
    assert not [action for action in only(actions, Cut) if action.resource == "cluster"]
    assert "databases-unlisted" in alarms(actions)


def test_a_database_whose_resource_cannot_be_made_is_told_and_the_others_go_on() -> None:
    rest = resource("moved", "postgres", formerly=("cluster_orders",))
    of = policy("shop", [*template().resources, rest])
    made = expanded(of, {"cluster": Listing(("orders", "a\nb", "stock"))})
    assert names(made) == ["cluster_stock", "data", "moved"]
    (hold,) = [action for action in planned_of(made) if action.alarm == "database-unprotected"]
    assert "'a\\nb': its name cannot be used" in hold.reason
    assert "'orders': cluster_orders is formerly of another resource" in hold.reason


def planned_of(of: Policy, **observed: Any) -> list[Hold]:
    actions = plan(of, seen(**observed), NOW, lambda *where: "/".join(map(str, where)))
    return [action for action in actions if isinstance(action, Hold)]


NOW = point("2026-11-20T09:00Z").cut_at
assert NOW is not None


def of_database(name: str, *more: Any, resource_of: str = "", **changes: Any) -> Any:
    facts = {"origin": {"template": "cluster", "database": name}}
    return point(*more, of=resource_of or resource_name("cluster", name), facts=facts, **changes)


def test_records_tell_the_databases_of_a_template_and_a_strangers_word_does_not() -> None:
    points = (
        of_database("Stock", "2026-11-20T08:00Z", dumped("gcs-eu")),
        of_database("orders", "2026-11-20T08:00Z", dumped("gcs-eu"), resource_of="another"),
        point("2026-11-20T08:00Z", dumped("gcs-eu"), of="cluster_old"),
    )
    assert recorded(seen(*points).catalogue, "cluster") == ("Stock",)


def test_a_database_that_vanished_is_reported_and_nothing_of_it_is_touched() -> None:
    points = [of_database("stock", f"2026-11-{day:02}T08:00Z", dumped("gcs-eu")) for day in range(1, 20)]
    made = expanded(template(), {"cluster": Listing(("orders",))})
    actions = plan(made, seen(*points), NOW, lambda *where: "/".join(map(str, where)))
    (left,) = [action for action in only(actions, Hold) if getattr(action, "alarm", "") == "left-behind"]
    assert left.resource == "cluster_stock"
    assert "database 'stock' of cluster" in left.reason
    assert not [action for action in only(actions, Expire, Mark) if action.resource == "cluster_stock"]


@pytest.mark.parametrize("listed", [True, False])
def test_nothing_is_let_go_while_no_server_has_named_the_database(listed: bool) -> None:
    points = [of_database("stock", f"2026-11-{day:02}T08:00Z", dumped("gcs-eu")) for day in range(1, 20)]
    why = "" if listed else "no route"
    made = expanded(template(), {"cluster": Listing(("stock",), why, listed=listed)})
    actions = plan(made, seen(*points), NOW, lambda *where: "/".join(map(str, where)))
    marked = [action for action in only(actions, Mark) if action.resource == "cluster_stock"]
    assert bool(marked) is listed
    assert any(isinstance(action, Cut) and action.resource == "cluster_stock" for action in actions)


def test_a_server_that_was_replaced_is_said_once_for_all_of_its_databases() -> None:
    made = expanded(template(formerly=("cluster",)), {"cluster": Listing(("orders",))})
    assert made.resources[0].formerly == ("cluster_orders",)


# --- in a file -----------------------------------------------------------------------------------------------------


def test_a_template_is_valid_without_any_server_and_says_what_it_stands_for() -> None:
    made = policy_of(file(), HOST)
    assert made.resources[0].template
    (meaning,) = meanings(made)
    assert meaning == "cluster stands for every database of db:5432, each a resource cluster_DATABASE of its own"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (file("dataset: orders"), "several databases are no alternatives of each other"),
        (file("formerly: [orders]"), "several databases carry on no single history"),
        (file().replace("cluster", "c" * 41), "the name is longer than 40"),
        (file() + SECOND.format(name="cluster_orders"), "cluster_orders could be a database of cluster"),
        (
            file() + SECOND.format(name="data") + "    dataset: cluster_orders\n",
            "cluster_orders could be a database of cluster",
        ),
    ],
)
def test_what_a_template_may_not_say_is_one_clear_error(text: str, message: str) -> None:
    made, findings = read(text, HOST)
    assert made is None
    assert len(findings) == 1
    assert message in str(findings[0])


def test_two_templates_one_of_whose_databases_could_bear_the_others_name_are_refused() -> None:
    second = file().partition("resources:\n")[2].replace("name: cluster", "name: cluster_old")
    made, findings = read(file() + second, HOST)
    assert made is None
    assert "could be a database of cluster" in str(findings[0])
