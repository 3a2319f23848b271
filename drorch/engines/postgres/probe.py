"""One question to restored data: read-only, one statement, one value, one minute."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, datetime
from decimal import Decimal
from functools import partial

import psycopg

from drorch.domain.errors import Refused
from drorch.engines.postgres.connection import close, connect, translate
from drorch.engines.postgres.place import Place

TIME_LIMIT_SECONDS = 60

_LIMITS = {
    "default_transaction_read_only": "on",
    "statement_timeout": str(TIME_LIMIT_SECONDS * 1000),
    "lock_timeout": "10000",
}


@contextmanager
def asking(place: Place) -> Iterator[Callable[[str], object]]:
    """A way to ask a database that is there already; raises as `connect` does when it does not let us in."""
    close(connect(place, "probe", _LIMITS))
    yield partial(ask, place)


def ask(place: Place, query: str) -> object:
    """The single value that `query` answers: None, a boolean, number, text or instant; anything else as text.

    Refused when the statement fails, takes longer than a minute, or answers no or more than one value. The session
    is the database's ordinary one, its ``search_path`` included, times in UTC.
    """
    session = connect(place, "probe", _LIMITS)
    try:
        session.execute("BEGIN READ ONLY")
        # Prepared: the protocol then takes one statement only, so that no COMMIT can stand before a second one.
        cursor = session.execute(query.encode(), prepare=True)
        if cursor.description is None:
            raise Refused("the probe answers nothing", operation="probe", resource=place.shown)
        rows = cursor.fetchmany(2)
        if len(rows) != 1 or len(rows[0]) != 1:
            raise Refused(
                "a probe must answer one row of one column", operation="probe", resource=place.shown, cause=query
            )
        return _plain(rows[0][0])
    except psycopg.errors.QueryCanceled as error:
        limit = f"it took longer than {TIME_LIMIT_SECONDS} s"
        raise Refused("the probe failed", operation="probe", resource=place.shown, cause=limit) from error
    except psycopg.OperationalError as error:
        raise translate(error, "probe", place.shown) from error
    except psycopg.Error as error:
        cause = error.diag.message_primary or str(error)
        raise Refused("the probe failed", operation="probe", resource=place.shown, cause=cause) from error
    finally:
        close(session)


def _plain(value: object) -> object:
    return value if isinstance(value, int | float | Decimal | str | datetime | date | None) else str(value)
