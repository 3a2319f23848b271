"""Questions to the system catalogues: which objects are the user's own, who owns them, what may not be read.

"The user's own" leaves out system schemas, temporary ones and the members of extensions, as pg_dump does.
Sessions that ask must have ``search_path`` = pg_catalog.
"""

# ruff: noqa: S608 - the queries are composed of the constants below

from __future__ import annotations

from drorch.engines.postgres.connection import Session

_AT_ONCE = 1000

# The settings are those of a session that dumps some schemas only (`filters.SchemaFilter`); elsewhere they are not set.
USER_SCHEMA = r"""n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
  AND n.nspname::text = ANY (
    coalesce(nullif(current_setting('drorch.schemas', true), '')::text[], ARRAY[n.nspname::text]))
  AND n.nspname::text <> ALL (
    coalesce(nullif(current_setting('drorch.exclude_schemas', true), '')::text[], ARRAY[]::text[]))"""

# What belongs to no schema (large objects, publications) pg_dump leaves out where it is told which schemas to dump.
WHOLE_DATABASE = "coalesce(current_setting('drorch.schemas', true), '') = ''"

NOT_OF_EXTENSION = """NOT EXISTS (SELECT FROM pg_catalog.pg_depend d
    WHERE d.classid = '{table}'::regclass AND d.objid = {oid} AND d.deptype = 'e')"""

_OWN_RELATION = f"{USER_SCHEMA} AND {NOT_OF_EXTENSION.format(table='pg_catalog.pg_class', oid='c.oid')}"
_OWN_FUNCTION = f"{USER_SCHEMA} AND {NOT_OF_EXTENSION.format(table='pg_catalog.pg_proc', oid='p.oid')}"
_OWN_TYPE = f"{USER_SCHEMA} AND {NOT_OF_EXTENSION.format(table='pg_catalog.pg_type', oid='t.oid')}"

_UNREADABLE = f"""
SELECT format('%I.%I', n.nspname, c.relname) FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'S') AND {_OWN_RELATION}
  AND NOT (has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT'))
ORDER BY 1"""

# Opening for reading is what the ACL decides (PostgreSQL, lo_compat_privileges); no ACL means the owner alone.
_UNREADABLE_LARGE = f"""
SELECT l.oid FROM pg_catalog.pg_largeobject_metadata l
WHERE {WHOLE_DATABASE} AND current_setting('lo_compat_privileges') = 'off'
  AND NOT (SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user)
  AND NOT EXISTS (SELECT FROM aclexplode(coalesce(l.lomacl, acldefault('L', l.lomowner))) AS acl
    WHERE acl.privilege_type = 'SELECT' AND (acl.grantee = 0 OR pg_has_role(acl.grantee, 'USAGE')))
ORDER BY 1"""

_ROW_SECURITY = f"""
SELECT format('%I.%I', n.nspname, c.relname) FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND c.relrowsecurity AND {_OWN_RELATION} AND row_security_active(c.oid)
ORDER BY 1"""

# What pg_dump dumps of an extension besides its name: the rows of the tables that it declares as configuration.
_EXTENSIONS = """
SELECT e.extname, e.extversion, n.nspname,
  ARRAY(SELECT ARRAY[cn.nspname::text, c.relname::text] FROM unnest(e.extconfig) AS config (oid)
    JOIN pg_catalog.pg_class c ON c.oid = config.oid JOIN pg_catalog.pg_namespace cn ON cn.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p', 'S') ORDER BY 1),
  ARRAY(SELECT format('%I.%I', cn.nspname, c.relname) FROM unnest(e.extconfig) AS config (oid)
    JOIN pg_catalog.pg_class c ON c.oid = config.oid JOIN pg_catalog.pg_namespace cn ON cn.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p', 'S') AND (row_security_active(c.oid) OR NOT has_schema_privilege(cn.oid, 'USAGE')
      OR NOT has_table_privilege(c.oid, 'SELECT')) ORDER BY 1)
FROM pg_catalog.pg_extension e JOIN pg_catalog.pg_namespace n ON n.oid = e.extnamespace
WHERE e.extname <> 'plpgsql' ORDER BY e.oid"""

# Objects of the bootstrap superuser have no row in pg_shdepend (it is pinned), so owners are read where they stand.
_OWNERS = f"""
SELECT DISTINCT pg_get_userbyid(owner)::text FROM (
  SELECT c.relowner FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE {_OWN_RELATION}
  UNION SELECT p.proowner FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
    WHERE {_OWN_FUNCTION}
  UNION SELECT t.typowner FROM pg_catalog.pg_type t JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
    WHERE {_OWN_TYPE}
  UNION SELECT n.nspowner FROM pg_catalog.pg_namespace n WHERE {USER_SCHEMA}
    AND {NOT_OF_EXTENSION.format(table="pg_catalog.pg_namespace", oid="n.oid")}
  UNION SELECT l.lomowner FROM pg_catalog.pg_largeobject_metadata l
  UNION SELECT s.refobjid FROM pg_catalog.pg_shdepend s JOIN pg_catalog.pg_database b ON b.oid = s.dbid
    WHERE b.datname = current_database() AND s.refclassid = 'pg_catalog.pg_authid'::regclass AND s.deptype = 'o'
      AND s.classid <> 'pg_catalog.pg_extension'::regclass
      AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d
        WHERE d.classid = s.classid AND d.objid = s.objid AND d.deptype = 'e')
) AS owners (owner) WHERE pg_get_userbyid(owner) !~ '^pg_' ORDER BY 1"""

_GRANTEES = """
SELECT DISTINCT pg_get_userbyid(s.refobjid)::text FROM pg_catalog.pg_shdepend s
JOIN pg_catalog.pg_database b ON b.oid = s.dbid
WHERE b.datname = current_database() AND s.refclassid = 'pg_catalog.pg_authid'::regclass AND s.deptype IN ('a', 'r')
  AND pg_get_userbyid(s.refobjid) !~ '^pg_' ORDER BY 1"""

_TABLESPACES = """
SELECT DISTINCT s.spcname::text FROM pg_catalog.pg_class c JOIN pg_catalog.pg_tablespace s ON s.oid = c.reltablespace
WHERE s.spcname !~ '^pg_' ORDER BY 1"""

_TABLES = f"""
SELECT format('%I.%I', n.nspname, c.relname) FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND {_OWN_RELATION} ORDER BY 1"""

# A file or a name that is not the snapshot's any more: rewriting (TRUNCATE, some of ALTER TABLE) does not wait for
# snapshots (PostgreSQL, 13.6, caveats), and names are looked up in the present. VACUUM FULL looks the same.
_CHANGED = f"""
SELECT format('%I.%I', n.nspname, c.relname) FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND {_OWN_RELATION} AND (pg_relation_filenode(c.oid) IS DISTINCT FROM c.relfilenode
  OR to_regclass(format('%I.%I', n.nspname, c.relname))::oid IS DISTINCT FROM c.oid)
ORDER BY 1"""

_USER_OBJECTS = f"""
SELECT * FROM (
  SELECT format('%s %I.%I', CASE c.relkind WHEN 'S' THEN 'sequence' WHEN 'v' THEN 'view' WHEN 'm' THEN 'view'
      WHEN 'i' THEN 'index' WHEN 'I' THEN 'index' WHEN 'c' THEN 'type' ELSE 'table' END, n.nspname, c.relname)
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE {_OWN_RELATION}
  UNION ALL SELECT format('function %I.%I', n.nspname, p.proname)
    FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace WHERE {_OWN_FUNCTION}
  UNION ALL SELECT format('type %I.%I', n.nspname, t.typname)
    FROM pg_catalog.pg_type t JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
    WHERE {_OWN_TYPE} AND t.typtype <> 'c' AND t.typelem = 0
  UNION ALL SELECT format('schema %I', n.nspname) FROM pg_catalog.pg_namespace n
    WHERE {USER_SCHEMA} AND n.nspname <> 'public'
      AND {NOT_OF_EXTENSION.format(table="pg_catalog.pg_namespace", oid="n.oid")}
      AND NOT EXISTS (SELECT FROM pg_catalog.pg_extension e WHERE e.extnamespace = n.oid)
  UNION ALL (SELECT format('large object %s', l.oid) FROM pg_catalog.pg_largeobject_metadata l LIMIT 5)
  UNION ALL SELECT format('publication %I', p.pubname) FROM pg_catalog.pg_publication p
) AS found (name) LIMIT 5"""


def _names(session: Session, query: str) -> list[str]:
    return [str(row[0]) for row in session.execute(query.encode())]


def unreadable(session: Session) -> list[str]:
    """The user's tables and sequences which the role may not read."""
    return _names(session, _UNREADABLE)


def unreadable_large_objects(session: Session) -> list[str]:
    """The numbers of the large objects which the role may not read."""
    return _names(session, _UNREADABLE_LARGE)


def row_secured(session: Session) -> list[str]:
    """The user's tables of which row-level security would hide rows from the role."""
    return _names(session, _ROW_SECURITY)


def lock_tables(session: Session) -> None:
    """Hold all of the user's tables, as pg_dump does, to the end of the transaction."""
    names = _names(session, _TABLES)
    for start in range(0, len(names), _AT_ONCE):
        session.execute(f"LOCK TABLE {', '.join(names[start : start + _AT_ONCE])} IN ACCESS SHARE MODE".encode())


def changed(session: Session) -> list[str]:
    """The user's tables that were emptied, rewritten, renamed or dropped since the session's snapshot."""
    return _names(session, _CHANGED)


def owners(session: Session) -> list[str]:
    """The roles that own anything in the database."""
    return _names(session, _OWNERS)


def grantees(session: Session) -> list[str]:
    """The roles that hold privileges or are named by policies in the database."""
    return _names(session, _GRANTEES)


def tablespaces(session: Session) -> list[str]:
    """The tablespaces that relations of the database are in, besides the database's own."""
    return _names(session, _TABLESPACES)


def user_objects(session: Session) -> list[str]:
    """Up to five objects that make a database not empty; extensions do not."""
    return _names(session, _USER_OBJECTS)


def extensions(session: Session) -> list[dict[str, object]]:
    """Extensions as created: name, version, schema, `tables` (configuration) and those `hidden` from the role."""
    return [
        {"name": name, "version": version, "schema": schema, "tables": tables, "hidden": hidden}
        for name, version, schema, tables, hidden in session.execute(_EXTENSIONS)
    ]
