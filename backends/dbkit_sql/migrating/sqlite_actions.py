"""What foreign keys do at a deletion, done by triggers while they are off.

A migration's transaction has foreign keys off, as the drop in a rebuild would cascade. Its data steps shall all the same
take children along, as they do on PostgreSQL. Temporary triggers belong to this connection and vanish with it; they fire for
each deleted row, and never at DROP TABLE (https://www.sqlite.org/lang_createtrigger.html). What restricts, and rows
without a parent, are found before the commit by `foreign_key_check`.
"""

from __future__ import annotations

from ..drivers import SqliteConnection

__all__ = ["Actions"]


class Actions:
    """The triggers of one connection."""

    def __init__(self, connection: SqliteConnection) -> None:
        self._connection = connection
        self._made: list[str] = []

    def make(self) -> None:
        """Make one for each reference that cascades or sets null."""
        # A trigger on its own table fires for the rows that it deletes only with this.
        self._connection.rows("PRAGMA recursive_triggers = ON")
        found = self._connection.rows(
            'SELECT m.name, f."table", f."from", f."to", f.on_delete FROM sqlite_schema AS m, '
            "pragma_foreign_key_list(m.name) AS f WHERE m.type = 'table' AND f.on_delete IN ('CASCADE', 'SET NULL') "
            "AND (SELECT count(*) FROM pragma_foreign_key_list(m.name) AS g WHERE g.id = f.id) = 1 "
            "AND EXISTS (SELECT 1 FROM sqlite_schema AS p WHERE p.type = 'table' AND p.name = f.\"table\" COLLATE NOCASE)"
        )
        for number, (child, parent, column, key, action) in enumerate(found):
            name = f"_dbkit_action_{number}"
            key = (
                key
                or self._connection.rows("SELECT name FROM pragma_table_info(?) WHERE pk = 1", (parent,))[0][
                    0
                ]
            )
            where = f"WHERE {_quoted(column)} = old.{_quoted(key)}"
            does = (
                f"DELETE FROM {_quoted(child)} {where}"  # noqa: S608
                if action == "CASCADE"
                else f"UPDATE {_quoted(child)} SET {_quoted(column)} = NULL {where}"  # noqa: S608
            )
            self._connection.rows(
                f"CREATE TEMP TRIGGER {name} AFTER DELETE ON main.{_quoted(parent)} BEGIN {does}; END"
            )
            self._made.append(name)

    def drop(self) -> None:
        """Remove them: a rebuild must find nothing that speaks of its table."""
        for name in self._made:
            self._connection.rows(f"DROP TRIGGER IF EXISTS temp.{name}")
        self._made.clear()
        self._connection.rows("PRAGMA recursive_triggers = OFF")


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
