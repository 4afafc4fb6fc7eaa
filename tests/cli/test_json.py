"""The keys of each command's JSON: scripts rely on them, so a key may come, and none may go."""

from __future__ import annotations

from pathlib import Path

from .conftest import Command

HISTORY = str(Path(__file__).resolve().parents[2] / "examples" / "migrations")
KEYS = {
    "migrate plan": {"dirty", "steps"},
    "migrate up": {"version", "dirty", "ran"},
    "migrate goto 5": {"version", "dirty", "ran"},
    "migrate steps 1": {"version", "dirty", "ran"},
    "migrate version": {"version", "dirty", "target", "pending"},
    "migrate history": {"migrations"},
    "migrate diff --check": {"differs", "losses", "unsolved", "notes", "source"},
    "migrate force 6": {"version", "dirty"},
    "migrate down": {"version", "dirty", "ran"},
}
INSIDE = {
    "steps": {"version", "stem", "direction", "transactional", "note", "parts"},
    "ran": {"version", "name", "direction", "duration_ms", "rows"},
    "migrations": {"version", "name", "state", "applied_at", "duration_ms"},
}


def test_the_keys_of_migrate(dbkit: Command, folder: Path) -> None:
    (folder / "x.db").touch()
    at = ["--url", "sqlite:///x.db", "--path", HISTORY]
    for words, keys in KEYS.items():
        more = ["--entities", dbkit.entities] if "diff" in words else []
        found = dbkit.json(*words.split(), *at, *more)
        assert found.keys() == keys, words
        for name, inside in INSIDE.items():
            for item in found.get(name, ()):
                assert item.keys() == inside, words
    assert dbkit.json("migrate", "create", "x").keys() == {"files"}


def test_the_keys_of_the_others(dbkit: Command) -> None:
    at = ["--url", "sqlite:///x.db", "--entities", dbkit.entities]
    assert dbkit.json("schema", *at).keys() == {"backend", "language", "statements"}
    assert dbkit.json("demo").keys() == {"url", "lines"}
    Path("x.db").touch()  # what only looks makes none
    checked = dbkit.json("check", *at, code=4)
    assert checked.keys() >= {"backend", "entities", "findings", "sample"}
    assert dbkit.json("doctor", *at).keys() == {
        "dbkit", "python", "installed", "owners", "url", "backend", "driver", "server", "topology",
        "features_are", "features", "entities", "problems",
    }  # fmt: skip
    explained = dbkit.json("explain", "User", "--url", "memory://", "--entities", dbkit.entities)
    assert explained.keys() == {
        "entity", "verb", "server", "statement", "indexes", "scans", "sorted_in_memory", "examined",
        "further",
    }  # fmt: skip
    failed = dbkit.json("explain", "Usr", *at, code=2)
    assert failed.keys() == {"error", "exit_code", "retryable", "message", "hint"}
