"""Writes docs/features.md from the flags that each backend declares: python docs/tools/flags.py [--check]."""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

from dbkit import FLAGS, Answer, Features
from dbkit.registry import plugin
from dbkit_mongo.features import standalone

PAGE = Path(__file__).resolve().parent.parent / "features.md"
SCHEMES = ("memory", "sqlite", "postgresql", "mongodb", "mongomock")
_URL = re.compile(r"https?://[^\s,;)\"']+")

_INTRODUCTION = """\
# Flags: what each store can keep

<!-- Written by docs/tools/flags.py from the backends' own declarations; do not edit. -->

What is not here is the same on every store. Each difference is a flag. A backend declares an answer, and probes the server
when it connects: a server that lacks something, as it is deployed, changes a yes to a no. A verb that needs a flag which is
not there raises `Unsupported` before anything is sent, with what is missing and how to get it. Ask in a program by
`db.features.transactions`, which is true or false and carries `why` and `hint`.
"""


def declared() -> dict[str, Features]:
    """Return what each store declares, by the name of its column."""
    made: dict[str, Features] = {}
    for scheme in SCHEMES:
        made[scheme] = plugin(scheme).FEATURES[scheme]
        if scheme == "mongodb":
            made["mongodb (standalone)"] = standalone(made[scheme])
    return made


def page() -> str:
    """Return the whole page."""
    stores = declared()
    lines = [_INTRODUCTION, f"| flag | {' | '.join(stores)} |", "|---" * (len(stores) + 1) + "|"]
    for name in FLAGS:
        cells = ["yes" if getattr(features, name) else "no" for features in stores.values()]
        lines.append(f"| [`{name}`](#{name}) | {' | '.join(cells)} |")
    for flag in FLAGS.values():
        lines += ["", f"## {flag.name}", "", f"{flag.means[0].upper()}{flag.means[1:]}.", ""]
        # Stores that say the same stand in one line.
        said: dict[Answer, list[str]] = {}
        for store, features in stores.items():
            said.setdefault(getattr(features, flag.name), []).append(store)
        for answer, names in said.items():
            hint = f" Instead: {_linked(answer.hint)}." if answer.hint else ""
            verdict = f"**{'yes' if answer else 'no'}** on {' and '.join(names)}"
            lines.append(f"- {verdict}: {_linked(answer.why)}.{hint}")
    return "\n".join(lines) + "\n"


def _linked(text: str) -> str:
    return _URL.sub(lambda url: f"<{url[0]}>", text)


def main() -> int:
    """Write the page, or with --check only say whether it is up to date."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail where the page is stale")
    text = page()
    if parser.parse_args().check:
        is_current = PAGE.read_text(encoding="utf-8") == text
        if not is_current:
            print("docs/features.md is stale: run python docs/tools/flags.py", file=sys.stderr)
        return not is_current
    PAGE.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
