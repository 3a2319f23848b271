"""A MariaDB database with a bit of everything that a dump must bring back."""

from __future__ import annotations

from dataclasses import dataclass

from mariadbservers import RunningMariadb
from pgservers import taken

from drorch.engines.mariadb import MariadbEngine
from drorch.ports import Inventory

STATEMENTS = (
    "CREATE TABLE item (id INT PRIMARY KEY AUTO_INCREMENT, name VARCHAR(80) NOT NULL, picture LONGBLOB,"
    " price DECIMAL(10,2), heavy DOUBLE, half DECIMAL(10,2) AS (price / 2) STORED, twice INT AS (id * 2) VIRTUAL,"
    " KEY by_name (name))",
    "INSERT INTO item (name, picture, price, heavy) SELECT concat('item ', seq), unhex(sha2(seq, 256)), seq / 3, seq/7"
    " FROM seq_1_to_500",
    r"INSERT INTO item (name, picture, price) VALUES ('it''s a \\ (b),(c);\nline 2', x'00FF0A275C', 1),"
    r" ('😀 Ünï', '', NULL), ('NULL', NULL, 0), ('\\', NULL, 0), (');', NULL, 0),"
    r" ('INSERT INTO `x` VALUES (', NULL, 0)",
    "CREATE TABLE `we``ird, (x)` (a INT, `b c` INT)",
    "INSERT INTO `we``ird, (x)` VALUES (1, 2), (3, 4)",
    "CREATE TABLE empty (a INT)",
    "CREATE TABLE spare (id INT, item INT, FOREIGN KEY (item) REFERENCES item (id))",
    "INSERT INTO spare VALUES (1, 1), (2, 2), (3, NULL)",
    "CREATE TABLE parted (a INT) PARTITION BY HASH (a) PARTITIONS 3",
    "INSERT INTO parted SELECT seq FROM seq_1_to_30",
    "CREATE TABLE hidden (a INT, b INT INVISIBLE DEFAULT 7)",
    "INSERT INTO hidden (a, b) VALUES (1, 2), (3, 4)",
    "CREATE TABLE legacy (a INT) ENGINE=MyISAM",
    "INSERT INTO legacy VALUES (1), (2)",
    "CREATE TABLE aria (a INT) ENGINE=Aria",
    "CREATE TABLE past (a INT) WITH SYSTEM VERSIONING",
    "INSERT INTO past VALUES (1)",
    "UPDATE past SET a = 2",
    "CREATE SEQUENCE counter START WITH 5",
    "DO nextval(counter)",
    "CREATE TABLE log (what TEXT)",
    "CREATE DEFINER='keeper'@'%' TRIGGER noted AFTER INSERT ON empty FOR EACH ROW"
    " INSERT INTO log VALUES ('it''s\nCREATE TABLE `no table` (')",
    "CREATE DEFINER='keeper'@'%' PROCEDURE count_items(OUT n INT)\nBEGIN\nSELECT count(*) INTO n FROM item;\nEND",
    "CREATE FUNCTION doubled(a INT) RETURNS INT DETERMINISTIC RETURN a * 2",
    "CREATE DEFINER='keeper'@'%' EVENT nightly ON SCHEDULE EVERY 1 DAY DO DELETE FROM log",
    "CREATE VIEW dear AS SELECT id, name FROM item WHERE price > 100",
    "CREATE DEFINER='keeper'@'%' VIEW dearer AS SELECT id FROM dear",
)
"""Made with the delimiter ``//``."""

ROWS = {
    "aria": 0,
    "empty": 0,
    "hidden": 2,
    "item": 506,
    "legacy": 2,
    "log": 0,
    "parted": 30,
    "past": 1,
    "spare": 3,
    "we`ird, (x)": 2,
}


@dataclass(frozen=True)
class Dump:
    """What a dump gave."""

    facts: dict[str, object]
    artefacts: dict[str, bytes]
    inventory: Inventory


def dump(server: RunningMariadb, database: str, user: str = "root", word: str = "exact") -> Dump:
    """A whole dump over the socket."""
    with MariadbEngine().dump(server.options(database, user), {}, word) as session:
        artefacts = taken(session)
        return Dump(dict(session.facts), artefacts, session.inventory())
