"""A dump of some schemas: nobody is to take it for the whole database."""

from __future__ import annotations

from desks import Desk


def test_a_dump_of_some_schemas_is_shown_as_partial_wherever_it_is_chosen(desk: Desk) -> None:
    desk.server.run("CREATE SCHEMA other", "CREATE TABLE other.t (a int)", database=desk.database)
    desk.write_policy(keep="{last: 3}\n    schemas: [public]", drill="")
    assert desk.ready().code == 0
    (point,) = desk.points()
    assert point["partial"] == "partial: schemas public"
    assert "; partial: schemas public" in desk.drorch("points", "shop").out
    into = ("--into", desk.server.url("partly"))
    planned = desk.drorch("restore", "shop", "orders", *into, "--plan")
    assert f"point {point['id']} is not the whole database, partial: schemas public" in planned.err
    restored = desk.drorch("restore", "shop", "orders", *into, "--yes", "--json")
    assert restored.code == 0, restored.err
    assert "is not the whole database, partial: schemas public" in " ".join(restored.json["notes"])
    assert desk.server.value("SELECT count(*) FROM orders", "partly") == 500
    desk.server.run("DROP DATABASE partly")


def test_a_schema_that_does_not_exist_is_refused_and_leaves_no_point(desk: Desk) -> None:
    desk.write_policy(keep="{last: 3}\n    schemas: [publik]", drill="")
    said = desk.ready()
    assert said.code == 3
    assert "there is no schema 'publik'" in said.err
    assert desk.points() == []
