"""`databases: all`: one entry of a policy, a real server with several databases, the whole installation around it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from desks import PASSWORD, Desk, Surroundings
from pgservers import Running, debian, running

from drorch.domain.template import resource_name

ODD = 'Größe "x" it\'s \\ %s'
NAMES = ("orders", ODD, "UPPER")


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    """A server of which all databases may be asked for: other tests make none on it."""
    with running(debian()) as found:
        found.run(f"CREATE ROLE backup LOGIN PASSWORD '{PASSWORD}'")
        yield found


def drop(server: Running, *names: str) -> None:
    for name in names:
        server.run(f'DROP DATABASE IF EXISTS "{name}"')


class Cluster(Desk):
    """A desk whose policy has one entry, `cluster`, for every database of the server but the desk's own."""

    def __init__(self, folder: Path, server: Running) -> None:
        super().__init__(folder, Surroundings(server))
        self.link = folder / "pg"
        self.plug()
        for name in NAMES:
            self.make(name)
        self.make("tmp_1")
        self.write_cluster()

    def write_cluster(self, databases: str = 'all, except: ["tmp_*", "db_*"]', more: str = "", at: str = "") -> None:
        place = at or f"host: {self.link}"
        connection = f"{{{place}, port: {self.server.server.port}, databases: {databases}, user: backup}}"
        path = self.write_policy(connection=connection, drill="")
        path.write_text(path.read_text().replace("name: orders", "name: cluster") + more)

    def make(self, name: str) -> None:
        if name not in self.there():
            quoted = name.replace('"', '""')
            self.server.run(f'CREATE DATABASE "{quoted}" OWNER backup TEMPLATE template0')
            with self.server.session(name, "backup") as session:
                session.execute(b"CREATE TABLE things AS SELECT * FROM generate_series(1, 3) n")

    def there(self) -> set[str]:
        with self.server.session() as session:
            return {str(row[0]) for row in session.execute("SELECT datname FROM pg_database")}

    def plug(self) -> None:
        self.link.symlink_to(self.server.socket)

    def unplug(self) -> None:
        """Nobody answers at the place that the policy names any more."""
        self.link.unlink()

    def lose_cache(self) -> None:
        for path in self.state.glob("cache.sqlite*"):
            path.unlink()

    def planned(self) -> list[dict[str, str]]:
        said = self.drorch("plan", "--json")
        assert said.code == 0, said.err
        found: list[dict[str, str]] = said.json["actions"]
        return found

    def datasets(self) -> set[str]:
        return {found["dataset"] for found in self.drorch("status", "--json").json["applications"][0]["datasets"]}


@pytest.fixture
def cluster(tmp_path: Path, server: Running) -> Iterator[Cluster]:
    """An installation where nothing was done yet, with three databases that it covers and one that it does not."""
    yield Cluster(tmp_path, server)
    drop(server, "new", "renamed")


def of(*names: str) -> set[str]:
    return {resource_name("cluster", name) for name in names}


def alarms(actions: list[dict[str, str]]) -> dict[str, str]:
    return {f"{found['alarm']} {found['resource']}": found["reason"] for found in actions if found.get("alarm")}


def test_every_database_gets_points_of_its_own_that_restore_it(cluster: Cluster) -> None:
    assert cluster.ready().code == 0
    points = cluster.points()
    assert {found["resource"] for found in points} == of(*NAMES)
    assert len(points) == len(NAMES)
    assert cluster.datasets() == of(*NAMES)
    assert cluster.drorch("points", "shop", "cluster", "--json").json["points"] == points
    odd = resource_name("cluster", ODD)
    restored = cluster.drorch(
        *("restore", "shop", odd, "--yes", "--into", cluster.server.url("tmp_back")),
    )
    assert restored.code == 0, restored.err
    assert cluster.server.value("SELECT count(*) FROM things", "tmp_back") == 3
    drop(cluster.server, "tmp_back")
    (manifest,) = cluster.nas.glob(f"drorch/v1/records/shop/{odd}/*/manifest.json")
    assert json.loads(manifest.read_text())["origin"] == {"template": "cluster", "database": ODD}


def test_databases_that_appear_vanish_and_are_renamed_between_passes(cluster: Cluster) -> None:
    assert cluster.ready().code == 0
    before = {found["id"] for found in cluster.points()}
    cluster.make("new")
    drop(cluster.server, "UPPER")
    cluster.server.run('ALTER DATABASE orders RENAME TO "renamed"')
    said = cluster.drorch("run", "--once", "--json")
    assert said.code == 0, said.err
    assert {found["resource"] for found in said.json["finished"] if found["action"] == "cut"} == of("new", "renamed")
    assert before < {found["id"] for found in cluster.points()}, "what vanished keeps its points"
    left = alarms(cluster.planned())
    assert left.keys() == {f"left-behind {name}" for name in of("UPPER", "orders")}
    assert "database 'UPPER' of cluster is not meant any more, or gone" in "; ".join(left.values())
    assert cluster.datasets() == of("new", "renamed", ODD)


def test_while_nobody_answers_the_last_answer_holds_and_without_it_the_points_do(cluster: Cluster) -> None:
    assert cluster.ready().code == 0
    cluster.unplug()
    said = cluster.drorch("run", "--once")
    assert said.code == 4
    assert "its databases are not listed" in said.err
    assert "are meant" in alarms(cluster.planned())["databases-unlisted cluster"]
    assert cluster.datasets() == of(*NAMES)
    cluster.lose_cache()
    actions = cluster.planned()
    assert "those of which there are points are meant" in alarms(actions)["databases-unlisted cluster"]
    assert not [found for found in actions if found.get("alarm") == "left-behind"]
    assert cluster.datasets() == of(*NAMES)
    cluster.plug()
    assert not alarms(cluster.planned())


def test_a_server_that_never_answered_leaves_the_promise_visibly_missed(cluster: Cluster) -> None:
    cluster.unplug()
    assert cluster.ready().code == 4
    assert "databases-unlisted cluster" in alarms(cluster.planned())
    status = cluster.drorch("status", "--check", "--json")
    assert status.code == 5
    assert status.json["applications"][0]["datasets"][0]["dataset"] == "cluster"
    backup = cluster.drorch("backup", "shop")
    assert backup.code == 4
    assert "no database of cluster is known" in backup.err


def test_a_backup_of_the_entry_cuts_all_of_its_databases(cluster: Cluster) -> None:
    cluster.write_cluster('all, except: ["tmp_*", "db_*", "Gr*"]')
    said = cluster.drorch("backup", "shop", "cluster", "--json")
    assert said.code == 0, said.err
    assert {found["resource"] for found in said.json["points"]} == of("orders", "UPPER")


def test_the_maintenance_database_is_meant_only_when_it_holds_something(cluster: Cluster) -> None:
    cluster.write_cluster('all, except: ["tmp_*", "db_*", UPPER, "Gr*"]')
    assert cluster.drorch("plan").code == 0
    assert cluster.datasets() == of("orders")
    cluster.server.run("CREATE TABLE strayed (n int)")
    try:
        assert cluster.drorch("plan").code == 0
        assert cluster.datasets() == of("orders", "postgres")
    finally:
        cluster.server.run("DROP TABLE strayed")


def test_databases_that_nobody_can_connect_to_or_that_drorch_makes_itself_are_not_meant(cluster: Cluster) -> None:
    made = ("closed", "a template", "broken", "drorch-drill-0a1b", "orders.drorch-restore", "x.drorch-restore")
    for name in made:
        cluster.server.run(f'CREATE DATABASE "{name}" TEMPLATE template0')
    cluster.server.run(
        """ALTER DATABASE closed WITH ALLOW_CONNECTIONS false""",
        """ALTER DATABASE "a template" WITH IS_TEMPLATE true""",
        """UPDATE pg_database SET datconnlimit = -2 WHERE datname = 'broken'""",
        """COMMENT ON DATABASE "orders.drorch-restore" IS 'drorch: unfinished restore into ...'""",
    )
    try:
        assert cluster.drorch("plan").code == 0
        assert cluster.datasets() == of(*NAMES, "x.drorch-restore"), "a name alone does not make it drorch's own"
    finally:
        cluster.server.run(
            """ALTER DATABASE "a template" WITH IS_TEMPLATE false""",
            """UPDATE pg_database SET datconnlimit = -1 WHERE datname = 'broken'""",
        )
        drop(cluster.server, *made)


def test_databases_by_name_need_no_answer_of_the_server(cluster: Cluster) -> None:
    cluster.write_cluster("[orders, UPPER]")
    cluster.unplug()
    assert {f["resource"] for f in cluster.planned() if f["action"] == "cut"} == of("orders", "UPPER")


def test_a_name_that_a_database_could_take_is_an_error_of_that_application_alone(cluster: Cluster) -> None:
    bank = cluster.write_policy("bank", drill="", connection="{host: 127.0.0.1, database: bank, user: backup}")
    cluster.write_cluster(more=bank.read_text().partition("resources:\n")[2].replace("orders", "cluster_old"))
    said = cluster.drorch("policy", "check")
    assert said.code == 3
    assert "shop.yaml:" in said.err
    assert "cluster_old could be a database of cluster: names that begin with cluster_ belong to it" in said.err
    assert "1 valid, 1 error in 1 file" in said.out


def test_policy_check_needs_no_server_and_says_what_the_entry_stands_for(cluster: Cluster) -> None:
    cluster.unplug()
    said = cluster.drorch("policy", "check")
    assert said.code == 0, said.err
    place = f"{cluster.link}:{cluster.server.server.port}"
    assert f"shop: cluster stands for every database of {place} but tmp_*, db_*, each a resource" in said.out


def test_a_wrong_password_is_told_and_never_shown(cluster: Cluster) -> None:
    cluster.write_cluster(at=f"host: 127.0.0.1, tls: {cluster.tls}, password: {{credential: orders-db}}")
    assert {f["resource"] for f in cluster.planned() if f["action"] == "cut"} == of(*NAMES)
    cluster.secret("orders-db.password", "another-s3cret\n")
    said = cluster.drorch("plan", "--json")
    reason = alarms(said.json["actions"])["databases-unlisted cluster"]
    assert "did not let us in" in reason
    assert "are meant" in reason
    assert "another-s3cret" not in said.out + said.err
    cluster.secret("orders-db.password", "another-s3cret\n", mode=0o644)
    assert "orders-db.password" in alarms(cluster.planned())["databases-unlisted cluster"]


def test_the_driver_stays_out_of_the_process_that_plans(cluster: Cluster) -> None:
    code = (
        "import sys; from drorch.cli.main import main\n"
        f"try: main(['--config', {str(cluster.config)!r}, 'plan', '--json'])\n"
        "finally: print('psycopg' in sys.modules, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], env=cluster.environ, capture_output=True, text=True, timeout=60)
    assert done.stderr.strip().endswith("False"), done.stderr
    assert {found["resource"] for found in json.loads(done.stdout)["actions"] if found["action"] == "cut"} == of(*NAMES)
