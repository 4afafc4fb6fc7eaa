"""Who wrote what: any git repository's whole history as a blog, its authors as users and its commits as posts.

    python examples/git_history.py [REPOSITORY] [URL]        this folder and sqlite:// by default

A real history has empty messages, years 1902 and 2108, several encodings, and one person under several names and
addresses. Nothing of it is lost: what cannot be kept as it is is kept as near as can be, counted, and told at the end.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import IO, NamedTuple

from dbkit import Database, DbkitError, Group, Mapped, connect, count, key, month, via
from dbkit.blog import Blog, Post, PostsPerMonth, User

BATCH = 5_000
MAX_NAME, MAX_EMAIL, MAX_TITLE, MAX_BODY = 100, 254, 300, 1_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Addresses at these hosts are git's or a tutorial's, not a person's.
_NOBODYS = frozenset(
    {"", "localhost", "localhost.localdomain", "(none)", "none", "example.com", "example.org"}
)


class AuthorMonth(Group[Post]):
    """How much a person wrote in a month."""

    author: Mapped[str] = key(via(Post.user_id, User.username))
    written: Mapped[date] = key(month(Post.created_at))
    commits: Mapped[int] = count()


# -- reading the repository --------------------------------------------------------------------------------------------


class Commit(NamedTuple):
    """One commit as it was read."""

    name: str
    email: str
    seconds: int | None
    message: str


class Person(NamedTuple):
    """Somebody, under the name and the address that they used most."""

    name: str
    email: str


@dataclass
class History:
    """A repository's history, made fit to be stored."""

    commits: list[Commit]
    people: dict[tuple[str, str], Person]
    """By name and casefolded address, as they stand in commits: several keys may mean one person."""
    notes: Counter[str] = field(default_factory=Counter[str])
    """How often something had to be mended, by what it was."""

    def users(self) -> dict[Person, User]:
        """Return a user for each person."""
        return {person: User(username=person.name, email=person.email) for person in self.people.values()}

    def posts(self, users: dict[Person, User]) -> Iterator[Post]:
        """Yield a post for each commit, the newest first as git gives them."""
        now = datetime.now(UTC)
        for commit in self.commits:
            title, _, body = commit.message.partition("\n")
            if not commit.message.strip():
                self.notes["empty message"] += 1
            if len(title) > MAX_TITLE:
                self.notes[f"subject beyond {MAX_TITLE} characters: whole in the body"] += 1
                title, body = title[:MAX_TITLE], commit.message
            if len(body) > MAX_BODY:
                self.notes[f"message cut at {MAX_BODY:,} characters"] += 1
            author = users[self.people[_identity(commit)]]
            written = self._moment(commit.seconds, now)
            yield Post(
                user_id=author.id,
                title=title.rstrip(),
                body=body.strip("\r\n")[:MAX_BODY],
                created_at=written,
                updated_at=written,
            )

    def _moment(self, seconds: int | None, now: datetime) -> datetime:
        try:
            if seconds is None:
                raise OverflowError
            moment = _EPOCH + timedelta(seconds=seconds)
        except OverflowError:
            self.notes["no date within the years 1 to 9999: stored as 1970-01-01"] += 1
            return _EPOCH
        if moment.year < 1990 or moment > now + timedelta(days=1):
            self.notes["date before 1990 or in the future: kept"] += 1
        return moment


def read_history(repository: Path) -> History:
    """Read all branches and tags of *repository*, which may be bare, shallow or empty; `.mailmap` is heeded.

    Raises:
        ValueError: it is no git repository, or git is not there.
    """
    notes: Counter[str] = Counter()
    commits = list(_read_commits(repository, notes))
    return History(commits, _who_is_who(commits, notes), notes)


def _read_commits(repository: Path, notes: Counter[str]) -> Iterator[Commit]:
    # Notes and the stash are commits of git's own. NUL parts fields, as it is the one byte that no field can have.
    refs = ["--exclude=refs/notes/*", "--exclude=refs/stash", "--all"]
    form = "%H%x00%aN%x00%aE%x00%at%x00%e%x00%B"
    with _git(repository, "log", *refs, "-z", f"--format={form}", "--encoding=UTF-8") as log:
        fields = _nul_separated(log)
        records = list(zip(*[fields] * 6, strict=False))  # git itself says when its output is short
    # git gives no date where it finds none that it understands, as before 1970; the commit itself may have one.
    missing = _raw_dates(repository, [record[0] for record in records if not record[3]])
    for commit, name, email, seconds, encoding, message in records:
        if encoding:
            notes[f"written in {encoding.decode(errors='replace')}: stored in Unicode"] += 1
        yield Commit(
            _text(name, notes).strip(),
            _text(email, notes).strip(),
            int(seconds) if seconds else missing.get(commit),
            _text(message, notes).strip("\n"),
        )


def _raw_dates(repository: Path, commits: list[bytes]) -> dict[bytes, int]:
    """Return the author dates that stand in these commits' own headers."""
    found: dict[bytes, int] = {}
    with tempfile.TemporaryFile() as asked:
        asked.write(b"".join(commit + b"\n" for commit in commits))
        asked.seek(0)
        with _git(repository, "cat-file", "--batch", stdin=asked) as objects:
            for line in objects:
                commit, _kind, size = line.split()
                header, _, _ = objects.read(int(size) + 1).partition(b"\n\n")
                date = re.search(rb"^author .*> (-?\d{1,18}) [+-]\d+$", header, re.MULTILINE)
                if date:
                    found[commit] = int(date[1])
    return found


@contextmanager
def _git(
    repository: Path, *arguments: str, stdin: IO[bytes] | None = None
) -> Generator[IO[bytes], None, None]:
    """Lend the output of a git command, to be read to its end; a failure of git's is a ValueError."""
    # In a hook the environment names another repository.
    own = {
        "GIT_DIR",
        "GIT_WORK_TREE",
        "GIT_INDEX_FILE",
        "GIT_OBJECT_DIRECTORY",
        "GIT_NAMESPACE",
        "GIT_PREFIX",
    }
    # A user's settings may put signatures between the commits.
    command = ["git", "-C", str(repository), "-c", "log.showSignature=false", *arguments]
    environment = {name: value for name, value in os.environ.items() if name not in own}
    with tempfile.TemporaryFile() as trouble:
        try:
            with subprocess.Popen(
                command,
                stdin=stdin or subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=trouble,
                env=environment,
            ) as git:
                assert git.stdout is not None
                yield git.stdout
        except FileNotFoundError:
            raise ValueError("git is not installed") from None
        if git.returncode:
            trouble.seek(0)
            raise ValueError(f"git failed: {trouble.read().decode(errors='replace').strip()}")


def _nul_separated(stream: IO[bytes]) -> Iterator[bytes]:
    rest = b""
    while chunk := stream.read(1 << 20):
        *whole, rest = (rest + chunk).split(b"\0")
        yield from whole


def _text(raw: bytes, notes: Counter[str]) -> str:
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        # Latin-1 gives each byte a character of its own, so nothing is lost; and it is what most such texts are in.
        notes["bytes that are no UTF-8: read as Latin-1"] += 1
        text = raw.decode("latin-1")
    return text.replace("\0", "\ufffd")


# -- who is who --------------------------------------------------------------------------------------------------------


def _identity(commit: Commit) -> tuple[str, str]:
    return commit.name, _fold(commit.email)


def _fold(text: str) -> str:
    """Return what is equal for texts that a field with `unique="casefold"` takes for the same."""
    return unicodedata.normalize("NFD", unicodedata.normalize("NFD", text).casefold())


def _who_is_who(commits: list[Commit], notes: Counter[str]) -> dict[tuple[str, str], Person]:
    """Return the person behind each name and address that occurs, with names and addresses of their own.

    One address is one person, and so is one full name (of several words) whatever the address. A single word is a first
    name or a login, which several people may share.
    """
    times = Counter(map(_identity, commits))
    spelling = {_fold(commit.email): commit.email for commit in commits}
    leader: dict[str, str] = {}

    def find(node: str) -> str:
        while leader.setdefault(node, node) != node:
            leader[node] = leader[leader[node]]
            node = leader[node]
        return node

    def node_of(name: str, email: str) -> str:
        is_own = email.partition("@")[2] not in _NOBODYS
        return f"at {email}" if is_own else f"by {name} at {email}"

    for name, email in times:
        if len(name.split()) > 1:
            leader[find(f"called {_fold(name)}")] = find(node_of(name, email))
    groups: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for identity, _ in sorted(times.items(), key=lambda item: (-item[1], item[0])):
        groups[find(node_of(*identity))].append(identity)

    people: dict[tuple[str, str], Person] = {}
    names: set[str] = set()
    emails: set[str] = set()
    for identities in groups.values():
        if len(identities) > 1:
            notes["person under several names or addresses"] += 1
        address = next((email for _, email in identities if email), "")
        if not address:
            notes["person without an address"] += 1
        email = _free(
            spelling.get(address) or f"nobody-{len(emails)}@no-address.invalid", MAX_EMAIL, emails, _fold
        )
        name = next((name for name, _ in identities if name), "(no name)")
        if name in names:
            notes["name that several people have: told apart by the address"] += 1
            name = f"{name} <{address}>"
        person = Person(_free(name, MAX_NAME, names, str), email)
        people.update(dict.fromkeys(identities, person))
    return people


def _free(text: str, longest: int, taken: set[str], fold: Callable[[str], str]) -> str:
    """Return *text*, cut and numbered until nobody has it."""
    free, number = text[:longest], 1
    while fold(free) in taken:
        number += 1
        free = text[: longest - len(f" {number}")] + f" {number}"
    taken.add(fold(free))
    return free


# -- storing and asking ------------------------------------------------------------------------------------------------


def store(
    db: Database, users: Iterable[User], posts: Iterable[Post], progress: Callable[[int], None] | None = None
) -> int:
    """Write users and posts; return how many posts there were. *progress* is told how many are written."""
    db.store(User).create_many(users, batched=True)
    left = iter(posts)
    done = 0
    while batch := list(islice(left, BATCH)):
        done += db.store(Post).create_many(batch)
        if progress is not None:
            progress(done)
    return done


class Answers(NamedTuple):
    """Who wrote what: equal on every store."""

    people: int
    commits: int
    by_author: list[tuple[str, int]]
    """The ten who wrote most."""
    by_month: list[tuple[str, int]]
    """Each month (`2024-02`) in which anything was written, the earliest first."""
    busiest: list[tuple[str, str, int]]
    """The ten months in which one person wrote most: name, month, commits."""
    latest: list[tuple[str, str]]
    """The latest ten: author and title."""


def answers(db: Database) -> Answers:
    """Ask the store; it counts, sorts and groups."""
    blog = Blog(db)
    people, commits = blog.stats.totals()
    months = db.store(Post).group(PostsPerMonth, limit=10_000)
    busiest = db.store(Post).group(AuthorMonth, order_by=AuthorMonth.commits.desc(), limit=10)
    return Answers(
        people,
        commits,
        [(user.username, user.post_count) for user in blog.stats.posts_per_user(limit=10)],
        [(m.posted.isoformat()[:7], m.post_count) for m in months],
        [(b.author, b.written.isoformat()[:7], b.commits) for b in busiest],
        [(line.author, line.title) for line in blog.posts.lines(limit=10).items],
    )


def main() -> None:
    """Read, store, ask, and tell."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("repository", nargs="?", type=Path, default=Path())
    parser.add_argument("url", nargs="?", default="sqlite://")
    parser.add_argument("--keep", action="store_true", help="leave the tables where they are")
    told = parser.parse_args()
    try:
        started = time.perf_counter()
        history = read_history(told.repository)
        print(f"read {len(history.commits):,} commits in {time.perf_counter() - started:.1f} s")
        with connect(told.url, entities=[User, Post]) as db:
            db.create_schema()
            if any(db.counts(User, Post)):
                raise SystemExit("there are users or posts in this database already: name an empty one")
            try:
                started = time.perf_counter()
                users = history.users()
                written = store(db, users.values(), history.posts(users), _bar(len(history.commits)))
                took = time.perf_counter() - started
                print(f"wrote them in {took:.1f} s, {written / took:,.0f} a second")
                show(db, history)
            finally:
                if not told.keep:
                    db.drop_schema()
    except ValueError as error:
        raise SystemExit(f"{told.repository}: {error}") from None
    except DbkitError as error:
        raise SystemExit(str(error)) from None


def _bar(total: int) -> Callable[[int], None]:
    def progress(done: int) -> None:
        if total > BATCH and sys.stderr.isatty():
            bar = "█" * (30 * done // total)
            print(f"\r{bar:<30} {done:,} of {total:,}", end="\n" if done == total else "", file=sys.stderr)

    return progress


def _fit(text: str, width: int = 40) -> str:
    """Return *text* as *width* columns of a terminal: wide characters count twice, control characters are hidden."""
    shown = ""
    for character in text:
        columns = (
            2 if unicodedata.east_asian_width(character) in "WF" else not unicodedata.combining(character)
        )
        if columns > width:
            break
        width -= columns
        shown += character if character.isprintable() else "?"
    return shown + " " * width


def show(db: Database, history: History) -> None:
    """Print the answers of *db*, and what had to be mended."""
    started = time.perf_counter()
    found = answers(db)
    took = time.perf_counter() - started
    print(f"{db.server}: {found.people:,} people wrote {found.commits:,} commits (asked in {took:.2f} s)")
    most = max((number for _, number in found.by_author), default=1)
    for name, number in found.by_author:
        print(f"  {_fit(name)} {number:>7,} {'█' * (30 * number // most)}")
    if found.busiest:
        print("the busiest months:")
    for name, when, number in found.busiest[:5]:
        print(f"  {_fit(name)} {number:>7,} in {when}")
    if found.by_month:
        print(
            f"{len(found.by_month)} months with commits, from {found.by_month[0][0]} to {found.by_month[-1][0]}"
        )
    for note, times in sorted(history.notes.items()):
        print(f"  {times:>7,} × {note}")


if __name__ == "__main__":
    main()
