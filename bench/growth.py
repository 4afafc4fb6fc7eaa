"""How cost grows with work: rows, pages, workers, memory, shapes; and what the first call costs.

Each question is asked in a process of its own (`python -m bench.growth TASK JSON`), which prints one line of JSON. One that
fails is reported, and the others go on.
"""

from __future__ import annotations

import asyncio
import gc
import itertools
import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

from .first import LABELS, PROGRAMS
from .registry import CONTENDERS
from .runner import Cores
from .stores import Target
from .titles import STORE_TITLES

__all__ = ["Growth", "main"]

_ROOT = Path(__file__).parent.parent
_PAGE = 50
_LIMIT_S = 600
Tell = Callable[[str], None]
Points = list[tuple[int, float]]


# -- the parent ------------------------------------------------------------------------------------------------------------


class _NoAnswerError(RuntimeError):
    """A task failed."""


class Growth:
    """Asks the questions of each store while it is open, and makes panels and tables of the answers."""

    def __init__(self, *, quick: bool, cores: Cores, tell: Tell, failed: dict[str, str]) -> None:
        self._quick, self._cores, self._tell, self._failed = quick, cores, tell, failed
        self._lines: dict[str, dict[str, Points]] = {
            name: {} for name in ("rows", "pages", "workers", "memory", "shapes", "filling")
        }
        self._first: dict[str, list[tuple[str, list[float]]]] = {}

    def add(self, target: Target, users: Sequence[UUID], posts: int) -> None:
        """Ask all about one store."""
        title, store, url = STORE_TITLES[target.name], target.name, target.url
        is_replayed = target.replay is not None
        sizes = [n for n in (10, 100, 1_000, 10_000, 100_000) if n <= posts]
        for entry in CONTENDERS:
            if entry.name in {"dbkit", "floor"}:
                about: dict[str, Any] = {"store": store, "url": target.urls_of(entry)[1], "name": entry.name}
                self._put("rows", f"{entry.name}, {title}", "rows", sizes=sizes, **about)
        if not is_replayed:
            # What these measure is the server's work as well, of which a stand-in says nothing.
            numbers = [n for n in (1, 10, 100, 500, 1_000, 2_000) if n * _PAGE <= posts]
            for by in ("cursor", "offset"):
                self._put("pages", f"dbkit by {by}, {title}", "pages", url=url, numbers=numbers, by=by)
            counts = [1, 4, 16, 64] if self._quick else [1, 2, 4, 8, 16, 32, 64]
            for colour in ("threads", "tasks"):
                name = f"dbkit, {colour}, {title}"
                self._put("workers", name, "workers", url=url, colour=colour, counts=counts)
        shapes = 2_000 if self._quick else 10_000
        self._put("shapes", f"dbkit, {title}", "shapes", url=target.empty_url, shapes=shapes)
        self._first[store] = self._first_calls(store, url, users[0])
        if not is_replayed:
            rows, name = 100_000 if self._quick else 1_000_000, f"dbkit, {title}"
            # By a process of its own: what it leaves free would hide what reading takes.
            if self._put("filling", name, "fill", url=url, rows=rows, author=users[0].hex):
                self._put("memory", name, "memory", url=url, rows=rows)

    def _put(self, panel: str, label: str, task: str, **arguments: Any) -> bool:
        """Ask, and put the answer into a panel; whether there is one."""
        self._tell(f"growth: {panel}: {label}")
        try:
            self._lines[panel][label] = self._ask(
                [sys.executable, "-m", "bench.growth", task, json.dumps(arguments)]
            )
        except _NoAnswerError as error:
            self._failed[f"growth: {panel}: {label}"] = str(error)
            return False
        return True

    def _ask(self, command: list[str], environment: Mapping[str, str] | None = None) -> Any:
        """Run a task in a process of its own, on the clients' core, and return its answer."""

        def pin() -> None:
            if self._cores.client is not None:
                os.sched_setaffinity(0, {self._cores.client})

        try:
            ended = subprocess.run(
                command,
                capture_output=True,
                text=True,
                cwd=_ROOT,
                env=environment,
                check=False,
                preexec_fn=pin,  # no threads here
                timeout=_LIMIT_S,
            )
        except subprocess.TimeoutExpired as error:
            raise _NoAnswerError(f"took longer than {_LIMIT_S} s") from error
        if ended.returncode:
            last = (ended.stderr.strip().splitlines() or ["no word"])[-1]
            raise _NoAnswerError(last)
        return json.loads(ended.stdout.splitlines()[-1])

    def _first_calls(self, store: str, url: str, id: UUID) -> list[tuple[str, list[float]]]:
        found: list[tuple[str, list[float]]] = []
        with tempfile.TemporaryDirectory(prefix="dbkit-first-") as folder:
            # All have their bytecode: a wheel's is made when it is installed, ours, in place, by the run that is not counted.
            environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
            environment["PYTHONPYCACHEPREFIX"] = folder
            for name in PROGRAMS[store]:
                self._tell(f"growth: first call: {LABELS[name]}, {STORE_TITLES[store]}")
                command = [sys.executable, "-m", "bench.first", name, store, url, id.hex]
                try:
                    self._ask(command, environment)
                    each = [self._ask(command, environment) for _ in range(2 if self._quick else 5)]
                except _NoAnswerError as error:
                    self._failed[f"growth: first call: {LABELS[name]}, {STORE_TITLES[store]}"] = str(error)
                    continue
                best = [round(value * 1e3, 1) for value in min(each, key=sum)]
                found.append((LABELS[name], best))
        return found

    def result(self) -> dict[str, Any]:
        """Return the panels of the picture and the tables of the page."""
        made: dict[str, Any] = {"panels": [], "tables": []}
        for name, (title, x, y, is_log, about) in _PANELS.items():
            lines = self._lines[name]
            if lines:
                made["panels"].append({"title": title, "x": x, "y": y, "log": is_log, "lines": lines})
                made["tables"].append((title, about, *_table(x, lines)))
        if self._first:
            made["first"] = self._first
            rows = [
                [f"{label}, {STORE_TITLES[store]}", *(f"{value:,.0f}" for value in (*steps, sum(steps)))]
                for store, found in self._first.items()
                for label, steps in found
            ]
            head = ["a program with", "import", "open", "first get", "together"]
            made["tables"].append(("First call", _ABOUT_FIRST, head, rows))
        return made


_PANELS = {
    "rows": (
        "Time a row",
        "rows read",
        "µs a row (CPU)",
        True,
        "CPU of the client in µs a row, reading the first so many posts, 1,000 at a time; of fewer, all at once.",
    ),
    "pages": (
        "Page by cursor and by offset",
        "page of 50",
        "ms (wall)",
        True,
        (
            "Time in ms of one page of 50 posts. By cursor it costs as much far in as at the start; rows before an "
            "`offset` are read by the store and thrown away."
        ),
    ),
    "workers": (
        "Gets on one database",
        "threads or tasks",
        "gets a second",
        False,
        "Gets a second on one `Database` with `pool_size=10`; the client has one core.",
    ),
    "memory": (
        "Memory of iterate",
        "rows read",
        "MiB above the start",
        False,
        "Resident MiB above what the process had after the first row; `iterate` holds one batch of 1,000.",
    ),
    "shapes": (
        "Memory of different queries",
        "different shapes",
        "MiB above the start",
        False,
        "Resident MiB above what the process had after the first query. What is compiled is kept for at most 1,000 shapes.",
    ),
}
_ABOUT_FIRST = (
    "CPU in ms of a program of its own, whose modules have their bytecode, the best run of several, once the interpreter is up: "
    "importing the library and declaring one entity, opening the database, the first `get`. dbkit imports its backend when it connects, and with it SQLAlchemy's compiler for SQL."
)


def _table(head: str, lines: dict[str, Points]) -> tuple[list[str], list[list[str]]]:
    xs = sorted({x for points in lines.values() for x, _ in points})
    rows = [
        [label, *(_shown(next((y for at, y in points if at == x), None)) for x in xs)]
        for label, points in lines.items()
    ]
    return [head, *(f"{x:,}" for x in xs)], rows


def _shown(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:,.0f}" if value >= 100 else f"{value:.2f}"


# -- the tasks ---------------------------------------------------------------------------------------------------------------


def _rows(store: str, url: str, name: str, sizes: Sequence[int]) -> Points:
    contender = next(entry for entry in CONTENDERS if entry.name == name).open(store, url)
    found: Points = []
    contender.iterate(10)
    # As the worker does: the collector looks at what a call makes, not again and again at all that is imported.
    gc.collect()
    gc.freeze()
    for number in sizes:
        read = partial(contender.iterate, number)
        read()
        times = max(1, 5_000 // number)
        best = min(_cpu(read, times) for _ in range(3))
        found.append((number, round(best / times / number * 1e6, 3)))
    contender.close()
    return found


def _cpu(work: Callable[[], Any], times: int) -> float:
    started = time.process_time()
    for _ in range(times):
        work()
    return time.process_time() - started


def _pages(url: str, numbers: Sequence[int], by: str) -> Points:
    import dbkit
    from dbkit.blog import Post, User

    found: Points = []
    with dbkit.connect(url, entities=[User, Post]) as db:
        posts = db.store(Post)
        # What is made at the first use is made, and a statement is prepared: neither belongs to the page that comes first.
        for _ in range(20):
            start = posts.page(limit=_PAGE).next_cursor
            posts.page(limit=_PAGE, after=start)
            posts.find(limit=_PAGE, offset=_PAGE)
        if by == "offset":
            for number in numbers:
                skipped = (number - 1) * _PAGE
                found.append((number, _wall(partial(posts.find, limit=_PAGE, offset=skipped))))
            return found
        cursor: str | None = None
        for number in range(1, max(numbers) + 1):
            if number in numbers:
                found.append((number, _wall(partial(posts.page, limit=_PAGE, after=cursor))))
            cursor = posts.page(limit=_PAGE, after=cursor).next_cursor
    return found


def _wall(work: Callable[[], Any]) -> float:
    """Return the median in ms."""
    times: list[float] = []
    for _ in range(7):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return round(sorted(times)[3] * 1e3, 4)


_SECONDS = 0.5


def _workers(url: str, colour: str, counts: Sequence[int]) -> Points:
    return [
        (count, round(_threads(url, count) if colour == "threads" else asyncio.run(_tasks(url, count))))
        for count in counts
    ]


def _threads(url: str, count: int) -> float:
    import dbkit
    from dbkit.blog import Post, User

    done = [0] * count
    with dbkit.connect(url, entities=[User, Post]) as db:
        users = db.store(User)
        ids = [user.id for user in users.find(limit=64)]
        until = time.perf_counter() + _SECONDS

        def work(place: int) -> None:
            for id in itertools.cycle(ids):
                users.get(id)
                done[place] += 1
                if time.perf_counter() > until:
                    return

        started = time.perf_counter()
        threads = [threading.Thread(target=work, args=(place,)) for place in range(count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return sum(done) / (time.perf_counter() - started)


async def _tasks(url: str, count: int) -> float:
    import dbkit
    from dbkit.blog import Post, User

    async with dbkit.aconnect(url, entities=[User, Post]) as db:
        users = db.store(User)
        ids = [user.id for user in await users.find(limit=64)]
        until = time.perf_counter() + _SECONDS

        async def work() -> int:
            done = 0
            for id in itertools.cycle(ids):
                await users.get(id)
                done += 1
                if time.perf_counter() > until:
                    break
            return done

        started = time.perf_counter()
        done = await asyncio.gather(*(work() for _ in range(count)))
        return sum(done) / (time.perf_counter() - started)


def _resident_mib() -> float:
    pages = Path("/proc/self/statm")
    if pages.exists():
        return int(pages.read_text().split()[1]) * resource.getpagesize() / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def _fill(url: str, rows: int, author: str) -> Points:
    import dbkit
    from dbkit.blog import Post, User

    step, id = 10_000, UUID(author)
    with dbkit.connect(url, entities=[User, Post]) as db:
        posts = db.store(Post)
        for start in range(posts.count(), rows, step):
            posts.create_many(
                [Post(user_id=id, title=f"title {n}", body="body") for n in range(start, start + step)]
            )
        return [(posts.count(), 0)]


def _memory(url: str, rows: int) -> Points:
    import dbkit
    from dbkit.blog import Post, User

    found: Points = []
    with dbkit.connect(url, entities=[User, Post]) as db:
        posts = db.store(Post)
        next(iter(posts.iterate()))
        before = _resident_mib()
        marks = {n for n in (1_000, 10_000, 100_000, 200_000, 500_000, 1_000_000) if n <= rows}
        for number, _ in enumerate(posts.iterate(), 1):
            if number in marks:
                found.append((number, round(_resident_mib() - before, 2)))
    return found


def _shapes(url: str, shapes: int) -> Points:
    import dbkit
    from dbkit.blog import Post, User
    from dbkit.query import Filter

    found: Points = []
    id = UUID(int=0)
    parts: list[Callable[[], Filter]] = [
        lambda: User.username == "a",
        lambda: User.username > "a",
        lambda: User.username <= "a",
        lambda: User.email == "a",
        lambda: User.email < "a",
        User.bio.is_null,
        lambda: User.bio != "a",
        lambda: User.bio.contains("a"),
        lambda: User.username.starts_with("a"),
        lambda: User.id == id,
    ]
    # Without a row: what is measured is what is compiled, and a stand-in is slow over rows.
    with dbkit.connect(url, entities=[User, Post]) as db:
        db.create_schema()
        users = db.store(User)
        users.exists(User.username == "a")
        before = _resident_mib()
        marks = {n for n in (100, 500, 1_000, 2_000, 5_000, 10_000) if n <= shapes}
        chosen = itertools.islice(itertools.product(parts, repeat=4), shapes)
        for number, filters in enumerate(chosen, 1):
            users.exists(*map(_made, filters))
            if number in marks:
                found.append((number, round(_resident_mib() - before, 2)))
        db.drop_schema()
    return found


def _made(make: Callable[[], Any]) -> Any:
    return make()


_TASKS: dict[str, Callable[..., Any]] = {
    "rows": _rows,
    "pages": _pages,
    "workers": _workers,
    "fill": _fill,
    "memory": _memory,
    "shapes": _shapes,
}


def main() -> None:
    """Run one task."""
    print(json.dumps(_TASKS[sys.argv[1]](**json.loads(sys.argv[2]))))


if __name__ == "__main__":
    main()
