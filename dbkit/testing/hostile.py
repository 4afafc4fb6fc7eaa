"""Input from outside that wants to be more than a value: operators, SQL, paths, odd Unicode."""

from __future__ import annotations

from typing import Any

__all__ = ["NAMES", "OPERATORS", "TEXTS"]

_TEXTS = (
    "$field", "$name", "$$ROOT", "$n", "$ne", "$where", "$set", "{'$ne': None}", '{"$ne": null}', '{"$gt": ""}',
    "'; drop table kit_plain; --", "' or '1'='1", '" or ""="', "x' union select 1 --", "\\'; drop table kit_plain; --",
    "%", "_", "%%", "100%", "a%b_c", "%s", "%(name)s", "%(name)s %s %%", ":name", ":1", "?", "$1", "{0}", "{}", "{name}",
    "\\", "\\\\", "\\%", "\\x00", "\\u0000", "`id`", "/* x */", "-- x", "#", "a.b", "a.$.b", ".", "..", "0", "1", "null", "None",
    "true", "NaN", "[]", "{}", '["a"]', " ", "\t", "\n", "\r\n", "  padded  ", "\u200b", "\ufeff", "\u202e", "\uffff", "\ue000",
    "\U0010ffff", "é", "e\u0301", "İ", "ı", "ß", "𝔘", "🧑‍🚀", "(?i).*", "^a", "a$", ".*", "[a-z]+", "(", "*", "a|b", "\x01", "\x7f",
    "🇸🇪", "١", "Ω", "Ω", "ﬁ", "fi",
)  # fmt: skip
TEXTS: tuple[str, ...] = tuple(dict.fromkeys(_TEXTS))
"""Texts that are stored, found and returned as they are, and mean nothing."""

OPERATORS: tuple[Any, ...] = (
    {"$ne": None}, {"$gt": ""}, {"$in": [1]}, {"$where": "1"}, {"$regex": ".*"}, {"$exists": True}, {"$set": {"n": 1}},
    {"$expr": {"$eq": [1, 1]}}, ["a"], [], {}, ("a",), {"a"}, b"a", 1, 1.5, True, object(), str, lambda: "x",
)  # fmt: skip
"""What is no text, where a text is expected."""

_STEMS = (
    "nosuch", "nam", "Name", "NAME", "n ame", "name ", " name", "name\0", "name;", "name--", "name'", 'name"', "name`",
    "name)", "name, n", "name desc", "name DESC; drop table kit_plain", "n = 1", "1=1", "*", "kit_plain.name", "public.name",
    "$name", "$$name", "name.$", "name.0", "name[0]", "name->>'a'", "_id", "rowid", "oid", "ctid", "xmin", "sqlite_master",
    "__class__x", "__dict__x", "__init_sub__", "model", "fields", "metadata", "query", "id.x", "id\u200b", "ｎame", "nаme", "",
    " ", "\n", "é", "🧑", "%s", "%(name)s", "{name}", "${name}", "select", "null", "0", "-1", "x" * 300, "a" * 5_000,
)  # fmt: skip
_FRAMES = ("{}", "-{}", "{} desc", "({})", "{}; --")
NAMES: tuple[str, ...] = tuple(
    dict.fromkeys(
        frame.replace("{}", stem)
        for frame in _FRAMES
        for stem in _STEMS
        if frame.replace("{}", stem) != "name"
    )
)
"""Names from outside, some 280, none of which is a field of `Plain`."""
