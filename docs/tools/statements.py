"""Shows one call's SQL beside its pipeline: python docs/tools/statements.py [--check].

Asks `explain()` of SQLite, PostgreSQL and a MongoDB server, and writes what they say between the markers in README.md and
docs/howto/explain.md. With --check nothing is written. A server that cannot be had is an error.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path
from typing import Any, cast
from uuid import UUID

from dbkit import Plan, connect
from dbkit.blog import Post, PostLine, User
from dbkit.testing.stores import NotRun, Shelf

ROOT = Path(__file__).resolve().parent.parent.parent
PAGES = ("README.md", "docs/howto/explain.md")
STORES = ("sqlite", "postgresql", "mongodb")
BEGIN, END = "<!-- statements: begin (docs/tools/statements.py) -->", "<!-- statements: end -->"
_WIDTH = 100
_CLAUSES = re.compile(r"\s+(?=(?:FROM|LEFT OUTER JOIN|(?<!OUTER )JOIN|WHERE|ORDER BY|LIMIT|UNION ALL)\b)")


def plan_on(url: str) -> Plan:
    """Return the plan of the call that the pages show, on a store with an empty blog."""
    with connect(url, entities=[User, Post]) as db:
        db.create_schema()
        try:
            return (
                db.store(Post)
                .explain()
                .page(Post.user_id == UUID(int=1), order_by=Post.created_at.desc(), limit=20, into=PostLine)
            )
        finally:
            db.drop_schema()


def sql(statement: str) -> str:
    """Break a statement before its clauses, and long lists of columns at their commas."""
    lines: list[str] = []
    for clause in _CLAUSES.sub("\n", statement.strip()).splitlines():
        while len(clause) > _WIDTH and (cut := clause.rfind(", ", 0, _WIDTH)) > 0:
            lines.append(clause[: cut + 1])
            clause = "    " + clause[cut + 2 :]
        lines.append(clause)
    return "\n".join(lines)


def pipeline(statement: str) -> str:
    """Give each value a line of its own where it does not fit into one."""
    return _fold(json.loads(statement), 0)


def _fold(value: Any, indent: int) -> str:
    flat = json.dumps(value, ensure_ascii=False)
    if len(flat) + indent <= _WIDTH or not value:
        return flat
    inner = " " * (indent + 2)
    if isinstance(value, list):
        items = value
        return _bracketed("[]", [_fold(item, indent + 2) for item in items], inner)
    if not isinstance(value, dict):
        return flat
    pairs = list(cast("dict[str, Any]", value).items())
    if len(pairs) == 1:
        return f"{{{json.dumps(pairs[0][0])}: {_fold(pairs[0][1], indent)}}}"
    return _bracketed("{}", [f"{json.dumps(key)}: {_fold(item, indent + 2)}" for key, item in pairs], inner)


def _bracketed(brackets: str, parts: list[str], inner: str) -> str:
    return f"{brackets[0]}\n{inner}" + f",\n{inner}".join(parts) + f"\n{inner[2:]}{brackets[1]}"


def section(page: str, statements: dict[str, str]) -> str:
    """Return what stands between a page's markers; the README leaves SQLite out."""
    parts = [f"On PostgreSQL:\n\n```sql\n{sql(statements['postgresql'])}\n```"]
    if page != "README.md":
        parts.append(f"On SQLite:\n\n```sql\n{sql(statements['sqlite'])}\n```")
    parts.append(f"On MongoDB:\n\n```json\n{pipeline(statements['mongodb'])}\n```")
    return "\n\n".join([BEGIN, *parts, END])


def put(text: str, made: str) -> str:
    """Return the page's text with what stands between its markers replaced."""
    before, found, rest = text.partition(BEGIN)
    _, closed, after = rest.partition(END)
    if not found or not closed:
        raise ValueError("a page lacks the markers")
    return before + made + after


def written(page: str, statements: dict[str, str]) -> str:
    """Return the page's text as it should be."""
    return put((ROOT / page).read_text(encoding="utf-8"), section(page, statements))


def main() -> int:
    """Write the pages, or with --check only say whether they are up to date."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail where a page is stale")
    check = parser.parse_args().check
    statements: dict[str, str] = {}
    with Shelf() as shelf:
        for name in STORES:
            store = shelf.store(name, name)
            if isinstance(store, NotRun):
                print(f"{name} could not be started: {store.reason}", file=sys.stderr)
                return 2
            statements[name] = plan_on(store.url).statement
    stale = 0
    for page in PAGES:
        made = written(page, statements)
        if made == (ROOT / page).read_text(encoding="utf-8"):
            continue
        stale += 1
        if check:
            print(f"{page} is stale: run python docs/tools/statements.py", file=sys.stderr)
        else:
            (ROOT / page).write_text(made, encoding="utf-8")
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
