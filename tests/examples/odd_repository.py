"""Git repositories as they are found: what history holds that no tool would write today."""

import os
import subprocess
from pathlib import Path

LONG = "a subject that does not end " * 20
ODD: list[tuple[bytes, bytes, bytes, bytes]] = [
    # author, date, encoding, message
    (b"Ann Lee <ann@work.test>", b"946684800 +0000", b"", b"first\n\nwith a body\n"),
    (b"Ann Lee <ann@home.test>", b"946684800 +0100", b"", b"the same person, elsewhere\n"),
    (b"ann <ANN@work.test>", b"951782400 +0000", b"", b"the same address, another name\n"),
    (b"Old Name <ann@former.test>", b"951782401 +0000", b"", b"by mailmap\n"),
    (b"sam <sam@one.test>", b"1000000000 -0730", b"", b"a first name\n"),
    (b"sam <sam@two.test>", b"1000000000 -0730", b"", b"the same first name, another person\n"),
    (b"root <root@localhost>", b"1000000001 +0000", b"", b"a machine\n"),
    (b"Eve <root@localhost>", b"1000000001 +0000", b"", b"a person on a machine\n"),
    (b" <nameless@x.test>", b"1000000002 +0000", b"", b"no name\n"),
    (b"Homeless <>", b"1000000003 +0000", b"", b"no address\n"),
    (b" <>", b"1000000004 +0000", b"", b"neither\n"),
    (b"J\xfcrgen <j@x.test>", b"1000000005 +0000", b"ISO-8859-1", "Grüße".encode("latin-1")),
    (
        "山田".encode("shift-jis") + b" <y@x.test>",
        b"1000000006 +0900",
        b"Shift_JIS",
        "表示".encode("shift-jis"),
    ),
    (b"Raw <raw@x.test>", b"1000000007 +0000", b"", b"caf\xe9 \xff\n"),
    (b"Wrong <wrong@x.test>", b"1000000008 +0000", b"no-such-encoding", b"caf\xe9\n"),
    (b"Surrogate <s@x.test>", b"1000000009 +0000", b"", b"\xed\xa0\x80 is no UTF-8\n"),
    (b"Sep\x1fara\x1etor \x1b[31m <sep@x.test>", b"1000000010 +0000", b"", b"a\x1eb\x1fc\r\n\r\nd\r\n"),
    (b"Empty <empty@x.test>", b"1000000011 +0000", b"", b""),
    (b"Blank <blank@x.test>", b"1000000012 +0000", b"", b" \n\n \n"),
    (b"Long <long@x.test>", b"1000000013 +0000", b"", LONG.encode() + b"\n"),
    (b"N" * 150 + b" <" + b"n" * 300 + b"@x.test>", b"1000000014 +0000", b"", b"long names\n"),
    (b"N" * 150 + b" <" + b"n" * 300 + b"@y.test>", b"1000000014 +0000", b"", b"alike where they are cut\n"),
    (b"Dollar <$set@x.test>", b"1000000015 +0000", b"", b'{"$ne": null}; drop table users; --\n'),
    (b"Stra\xc3\x9fe <stra\xc3\x9fe@x.test>", b"1000000016 +0000", b"", b"eszett\n"),
    (b"Strasse <STRASSE@x.test>", b"1000000017 +0000", b"", b"the same without case\n"),
    (b"Old <old@x.test>", b"-1000000000 +0000", b"", b"before 1970\n"),
    (b"Ancient <old2@x.test>", b"-62135596800 +0000", b"", b"year 1\n"),
    (b"Epoch <epoch@x.test>", b"0 +0000", b"", b"at the beginning\n"),
    (b"Future <future@x.test>", b"4354819200 +1400", b"", b"2108\n"),
    (b"Last <last@x.test>", b"253402300799 +0000", b"", b"the last second of 9999\n"),
    (b"Beyond <beyond@x.test>", b"253402300800 +0000", b"", b"year 10000\n"),
    (b"Far <far@x.test>", b"18446744073709551615 +0000", b"", b"beyond all\n"),
    (b"Undated <undated@x.test>", b"yesterday", b"", b"no number\n"),
]
"""One commit each, in this order on the branch `main`."""


def git(folder: Path, *arguments: str, given: bytes = b"") -> str:
    """Run git apart from the settings and the repository of whoever runs the tests; return what it printed."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    own |= {"GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    command = ["git", "-C", str(folder), "-c", "init.defaultBranch=main", *arguments]
    return (
        subprocess.run(command, input=given, capture_output=True, check=True, env=own).stdout.decode().strip()
    )


def empty(folder: Path, *, bare: bool = False) -> Path:
    """Make a repository without a commit."""
    folder.mkdir()
    git(folder, "init", "--quiet", *(["--bare"] if bare else []))
    return folder


def odd(folder: Path) -> Path:
    """Make a bare repository of all of `ODD`, a merge, tags of commits, of a file and of a tag, notes and a mailmap."""
    empty(folder, bare=True)
    mailmap = git(
        folder, "hash-object", "-w", "--stdin", given=b"Ann Lee <ann@work.test> <ann@former.test>\n"
    )
    tree = git(folder, "mktree", given=f"100644 blob {mailmap}\t.mailmap\n".encode())
    tip = side = ""
    for number, (author, date, encoding, message) in enumerate(ODD):
        tip = _commit(folder, tree, [tip] if tip else [], author, date, encoding, message)
        if number == 4:
            side = _commit(
                folder, tree, [tip], b"Branch <branch@x.test>", b"1000000020 +0000", b"", b"aside\n"
            )
    merge = _commit(
        folder, tree, [tip, side], b"Merger <merger@x.test>", b"1700000000 +0000", b"", b"merge\n"
    )
    git(folder, "update-ref", "refs/heads/main", merge)
    tagged = _commit(
        folder, tree, [tip], b"Tagged <tagged@x.test>", b"1700000001 +0000", b"", b"only by a tag\n"
    )
    git(folder, "update-ref", "refs/tags/light", tagged)
    git(folder, "update-ref", "refs/tags/file", mailmap)
    tag = f"object {tagged}\ntype commit\ntag nested\ntagger T <t@x.test> 1700000002 +0000\n\nof a tag\n"
    git(folder, "update-ref", "refs/tags/nested", git(folder, "mktag", given=tag.encode()))
    note = _commit(folder, tree, [], b"Note <note@x.test>", b"1700000003 +0000", b"", b"git's own\n")
    git(folder, "update-ref", "refs/notes/commits", note)
    return folder


def _commit(
    folder: Path, tree: str, parents: list[str], author: bytes, date: bytes, encoding: bytes, message: bytes
) -> str:
    # Written as an object, as git commit and fast-import mend or refuse most of it.
    lines = [b"tree " + tree.encode(), *(b"parent " + parent.encode() for parent in parents)]
    lines += [b"author " + author + b" " + date, b"committer C <c@x.test> 1700000000 +0000"]
    if encoding:
        lines.append(b"encoding " + encoding)
    raw = b"\n".join([*lines, b"", message])
    return git(folder, "hash-object", "-t", "commit", "-w", "--literally", "--stdin", given=raw)


def long(folder: Path, commits: int, people: int) -> Path:
    """Make a repository of many commits by `git fast-import`."""
    empty(folder, bare=True)
    lines: list[bytes] = []
    for n in range(commits):
        message = f"change {n}\n\nof the file {n % 100}\n".encode()
        lines += [
            b"commit refs/heads/main",
            b"author Person %d <p%d@x.test> %d +0000" % (n % people, n % people, 1_000_000_000 + n * 3_600),
            b"committer C <c@x.test> 1700000000 +0000",
            b"data %d" % len(message),
            message,
        ]
    git(folder, "fast-import", "--quiet", given=b"\n".join(lines))
    return folder
