"""SQL text cut into pieces: statements out of a file, and a table's stored definition into its columns and constraints.

SQLite keeps the statement that made a table and has no ALTER for most of it, so a migration edits that text. It is cut by
tokens, never by a regular expression over the whole: a comma in a comment, a semicolon in a trigger and a parenthesis
in a string are none. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple

__all__ = [
    "Definition",
    "Token",
    "column_rest",
    "index_columns",
    "mentions",
    "plain",
    "renamed_index",
    "size_terms",
    "statements",
    "tokens",
    "unquoted",
]

TokenKind = Literal["space", "comment", "string", "quoted", "word", "other"]


class Token(NamedTuple):
    """One token, as it stands in the text."""

    kind: TokenKind
    text: str


_KINDS: dict[str | None, TokenKind] = {
    "space": "space",
    "comment": "comment",
    "string": "string",
    "quoted": "quoted",
    "word": "word",
}
# Block comments and dollar quotes have an end that depends on their beginning; `_end_of` finds it.
_TOKEN = re.compile(
    r"""
      (?P<space>\s+)
    | (?P<comment>--[^\n]*|/\*)
    | (?P<escaped>[eE]'(?:[^'\\]|''|\\.)*')
    | (?P<string>'(?:[^']|'')*')
    | (?P<dollar>\$(?:[A-Za-z_][A-Za-z_0-9]*)?\$)
    | (?P<quoted>"(?:[^"]|"")*"|`(?:[^`]|``)*`|\[[^\]]*\])
    | (?P<word>[^\W\d][\w$]*)
    | (?P<other>\d[\w.]*|.)
    """,
    re.VERBOSE | re.DOTALL,
)


def tokens(sql: str, *, postgres: bool = False) -> Iterator[Token]:
    """Return the tokens of *sql*; joined they are the text again.

    PostgreSQL has dollar quotes, `E''`, and comments inside comments; SQLite has none of them, but names in brackets and
    backquotes (PostgreSQL's manual, 4.1; https://www.sqlite.org/lang_keywords.html).
    """
    position = 0
    while position < len(sql):
        found = _TOKEN.match(sql, position)
        assert found is not None
        name, end = found.lastgroup, found.end()
        kind: TokenKind = "other"
        if name == "comment" and found[0] == "/*":
            kind, end = "comment", _comment_end(sql, position, nested=postgres)
        elif name == "dollar" and postgres:
            closed = sql.find(found[0], end)
            kind, end = "string", len(sql) if closed < 0 else closed + len(found[0])
        elif name == "escaped":
            if postgres:
                kind = "string"
            else:
                kind, end = "word", position + 1
        elif name == "quoted" and postgres and sql[position] != '"':
            end = position + 1
        elif name in _KINDS:
            kind = _KINDS[name]
        else:
            end = end if name == "other" else position + 1
        yield Token(kind, sql[position:end])
        position = end


def _comment_end(sql: str, start: int, *, nested: bool) -> int:
    depth, position = 1, start + 2
    while depth:
        close, deeper = sql.find("*/", position), sql.find("/*", position)
        if close < 0:
            return len(sql)
        if nested and 0 <= deeper < close:
            depth, position = depth + 1, deeper + 2
        else:
            depth, position = depth - 1, close + 2
    return position


# -- a file's statements -----------------------------------------------------------------------------------------------


def statements(sql: str, *, postgres: bool = False) -> list[str]:
    """Split at the semicolons that end a statement; those with nothing but comments are left out."""
    made: list[str] = []
    current: list[str] = []
    words: list[str] = []
    # Of BEGIN … END bodies: triggers in SQLite, functions with BEGIN ATOMIC in PostgreSQL. CASE has an END too.
    depth = 0
    for token in tokens(sql, postgres=postgres):
        if token.text == ";" and token.kind == "other" and depth == 0:
            if words:
                made.append("".join(current).strip())
            current, words = [], []
            continue
        current.append(token.text)
        if token.kind not in ("space", "comment"):
            word = token.text.upper() if token.kind == "word" else token.text
            if _has_body(words):
                if word == "CASE" or (word == "BEGIN" and depth == 0):
                    depth += 1
                elif word == "END" and depth:
                    depth -= 1
            words.append(word)
    if words:
        made.append("".join(current).strip())
    return made


def _has_body(words: list[str]) -> bool:
    if words[:1] != ["CREATE"]:
        return False
    head = words[1:5]
    return "TRIGGER" in head or "FUNCTION" in head or "PROCEDURE" in head


# -- a table's definition ----------------------------------------------------------------------------------------------

_SIMPLE = re.compile(r"[A-Za-z_][A-Za-z0-9_$]*\Z")
_TABLE_WORDS = frozenset({"CONSTRAINT", "PRIMARY", "UNIQUE", "CHECK", "FOREIGN"})


def unquoted(name: str) -> str:
    """Return an identifier without its quotes."""
    if name[:1] in ('"', "`") and name[-1:] == name[:1]:
        return name[1:-1].replace(name[0] * 2, name[0])
    return name[1:-1] if name[:1] == "[" else name


def plain(sql: str) -> str:
    """Return *sql* without comments, superfluous spaces and quotes that a name does not need, to be compared."""
    made: list[str] = []
    for kind, text in tokens(sql):
        if kind in ("space", "comment"):
            if made and made[-1] != " ":
                made.append(" ")
        elif kind == "quoted" and _SIMPLE.match(name := unquoted(text)):
            made.append(name)
        else:
            made.append(text)
    return "".join(made).strip()


def _is_identifier(found: list[Token], place: int, name: str) -> bool:
    kind, text = found[place]
    if kind not in ("word", "quoted") or unquoted(text).lower() != name.lower():
        return False
    after = next((t for t in found[place + 1 :] if t.kind not in ("space", "comment")), None)
    return kind == "quoted" or after is None or after.text != "("


def mentions(sql: str, column: str) -> bool:
    """Return whether part of a definition is about a column; the other table's columns of a reference do not count."""
    found: list[Token] = []
    for token in tokens(sql):
        if token.kind == "word" and token.text.upper() == "REFERENCES":
            break
        found.append(token)
    return any(_is_identifier(found, place, column) for place in range(len(found)))


@dataclass(frozen=True)
class Definition:
    """What stands inside CREATE TABLE (…), in order; each part as it is written, its comments included."""

    columns: dict[str, str] = field(default_factory=dict[str, str])
    """By name."""
    constraints: dict[str, str] = field(default_factory=dict[str, str])
    """By name; those without one by a number."""
    options: str = ""
    """What stands behind the closing parenthesis."""

    @classmethod
    def parse(cls, create: str) -> Definition:
        """Read a CREATE TABLE statement."""
        depth, inside, behind = 0, list[list[Token]]([[]]), list[str]()
        for token in tokens(create):
            if token.kind == "other" and token.text == "(":
                depth += 1
                if depth == 1 and not inside[0]:
                    continue
            elif token.kind == "other" and token.text == ")":
                depth -= 1
                if depth == 0:
                    continue
            if depth == 0:
                if inside[0]:
                    behind.append(token.text)
            elif token.kind == "other" and token.text == "," and depth == 1:
                inside.append([])
            else:
                inside[-1].append(token)
        made = cls(options="".join(behind).strip().removesuffix(";").strip())
        for part in inside:
            made._add(part)
        return made

    def _add(self, part: list[Token]) -> None:
        text = "".join(t.text for t in part).strip()
        words = [t for t in part if t.kind not in ("space", "comment")]
        first = words[0]
        if first.kind != "word" or first.text.upper() not in _TABLE_WORDS:
            self.columns[unquoted(first.text)] = text
        elif first.text.upper() == "CONSTRAINT":
            self.constraints[unquoted(words[1].text)] = text
        else:
            self.constraints[f"#{len(self.constraints)}"] = text

    def create(self, name: str) -> str:
        """Return the statement that makes the table; *name* is quoted."""
        parts = [_closed(part) for part in (*self.columns.values(), *self.constraints.values())]
        inside = ",\n\t".join(parts)
        return f"CREATE TABLE {name} (\n\t{inside}\n)" + (f"\n {self.options}" if self.options else "")

    def copy(self) -> Definition:
        """Return one that can be edited."""
        return replace(self, columns=dict(self.columns), constraints=dict(self.constraints))

    def rename_constraint(self, old: str, new: str) -> None:
        """Give a constraint another name, in its place."""
        if old == new or old not in self.constraints:
            return
        items = list(self.constraints.items())
        self.constraints.clear()
        for name, text in items:
            if name == old:
                self.constraints[new] = _with_name(text, old, new)
            else:
                self.constraints[name] = text

    def about(self, column: str) -> list[str]:
        """Return the names of the constraints that are about a column."""
        return [name for name, text in self.constraints.items() if mentions(text, column)]


_COLUMN_WORDS = frozenset(
    {
        "CONSTRAINT",
        "PRIMARY",
        "NOT",
        "NULL",
        "UNIQUE",
        "CHECK",
        "DEFAULT",
        "COLLATE",
        "REFERENCES",
        "GENERATED",
        "AS",
    }
)


def column_rest(text: str) -> str:
    """Return what a column's definition says behind its type, NOT NULL and comments aside: none, where dbkit made it."""
    found = [t for t in tokens(text) if t.kind != "comment"]
    words = [n for n, t in enumerate(found) if t.kind == "word" and t.text.upper() in _COLUMN_WORDS and n > 0]
    if not words:
        return ""
    kept: list[str] = []
    depth = 0
    rest = [t for t in found[words[0] :] if t.kind != "space"]
    for place, part in enumerate(rest):
        if part.kind == "other":
            depth += {"(": 1, ")": -1}.get(part.text, 0)
        if part.kind == "word" and depth == 0:
            word = part.text.upper()
            before = rest[place - 1].text.upper() if place else ""
            behind = rest[place + 1].text.upper() if place + 1 < len(rest) else ""
            if (word == "NOT" and behind == "NULL") or (word == "NULL" and before not in ("DEFAULT", "SET")):
                continue
        kept.append(part.text)
    return " ".join(kept)


def _closed(part: str) -> str:
    # A comment to the end of the line would swallow the comma behind it.
    last = [t for t in tokens(part) if t.kind != "space"][-1]
    return part + "\n" if last.kind == "comment" and last.text.startswith("--") else part


def _with_name(text: str, old: str, new: str) -> str:
    made: list[str] = []
    is_done = False
    for kind, token in tokens(text):
        if not is_done and kind in ("word", "quoted") and unquoted(token).lower() == old.lower():
            made.append(_quoted(new))
            is_done = True
        else:
            made.append(token)
    return "".join(made)


def _quoted(name: str) -> str:
    return name if _SIMPLE.match(name) else '"' + name.replace('"', '""') + '"'


def renamed_index(create: str, old: str, new: str) -> str:
    """Return a CREATE INDEX statement with another name for the index."""
    return create if old == new else _with_name(create, old, new)


def index_columns(create: str) -> list[str] | None:
    """Return the columns of a CREATE INDEX statement of plain columns; None where it has expressions."""
    made: list[str] = []
    part: list[Token] = []
    depth = 0
    for token in (t for t in tokens(create) if t.kind not in ("space", "comment")):
        if token.text == "(" and token.kind == "other":
            depth += 1
            if depth > 1:
                return None
        elif token.kind == "other" and depth and token.text in ",)":
            made.append(unquoted(part[0].text))
            part = []
            if token.text == ")":
                return made
        elif depth:
            part.append(token)
    return made


_SIZE_TERM = re.compile(
    r"coalesce\(\s*(?P<function>octet_length|pg_column_size|length)\(\s*(?P<cast>CAST\()?"
    r'(?P<column>"[^"]+"|[\w$]+)(?:\s+AS\s+BLOB\))?\s*\)\s*,\s*0\)',
    re.IGNORECASE,
)


def size_terms(condition: str, limit: int) -> list[str] | None:
    """Return the terms of the CHECK of a row's size, as `Tables.size_term` writes them; None where it is another CHECK."""
    text = condition.strip()
    if str(limit) not in text or "<=" not in text:
        return None
    rest = _SIZE_TERM.sub("", text.replace(str(limit), ""))
    if re.sub(r"CONSTRAINT\s+\S+|CHECK|[()\s+]|<=", "", rest, flags=re.IGNORECASE):
        return None
    made: list[str] = []
    for term in _SIZE_TERM.finditer(text):
        function, column = term["function"].lower(), term["column"]
        inner = f"CAST({column} AS BLOB)" if term["cast"] else column
        made.append(f"coalesce({function}({inner}), 0)")
    return made or None
