"""How cost grows with work: rows, pages, workers, memory, and what the first call costs.

Each question is asked in a process of its own (`python -m bench.growth TASK JSON`), which prints one line of JSON.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

from .data import Data
from .registry import CONTENDERS
from .report import STORE_TITLES
from .runner import Cores
from .stores import NotRun, opened

__all__ = ["grown", "main"]

_ROOT = Path(__file__).parent.parent
_STORES = ("sqlite", "postgresql")
_PAGE = 50
Tell = Callable[[str], None]


# -- the parent ------------------------------------------------------------------------------------------------------------


def _ask(task: str, cores: Cores, **arguments: Any) -> Any:
    """Run a task in a process of its own, on the clients' core unless it has threads, and return its answer."""

    def pin() -> None:
        if cores.client is not None:
            os.sched_setaffinity(0, {cores.client})

    ended = subprocess.run(
        [sys.executable, "-m", "bench.growth", task, json.dumps(arguments)],
        capture_output=True,
        text=True,
        cwd=_ROOT,
        check=False,
        preexec_fn=pin,  # no threads here
        timeout=600,
    )
    if ended.returncode:
        raise RuntimeError(f"bench.growth {task}: {ended.stderr[-2000:]}")
    return json.loads(ended.stdout.splitlines()[-1])


def grown(*, quick: bool, cores: Cores, tell: Tell) -> dict[str, Any]:
    """Return the panels of the picture and the tables of the page."""
    rows = 10_000 if quick else 100_000
    data = Data(2_000, rows)
    panels: list[dict[str, Any]] = []
    tables: list[tuple[str, str, list[str], list[list[str]]]] = []
    by_rows: dict[str, list[tuple[int, float]]] = {}
    by_page: dict[str, list[tuple[int, float]]] = {}
    by_workers: dict[str, list[tuple[int, float]]] = {}
    for store in _STORES:
        title = STORE_TITLES[store]
        try:
            with opened(store, data, cores) as target:
                tell(f"growth: {title}: rows")
                for name in ("dbkit", "floor"):
                    sizes = [n for n in (10, 100, 1_000, 10_000, 100_000) if n <= rows]
                    by_rows[f"{name}, {title}"] = _ask(
                        "rows", cores, store=store, url=target.url, name=name, sizes=sizes
                    )
                tell(f"growth: {title}: pages")
                numbers = [n for n in (1, 10, 100, 500, 1_000, 2_000) if n * _PAGE <= rows]
                for label, points in _ask("pages", cores, url=target.url, numbers=numbers).items():
                    by_page[f"{label}, {title}"] = points
                tell(f"growth: {title}: workers")
                for colour in ("threads", "tasks"):
                    counts = [1, 4, 16, 64] if quick else [1, 2, 4, 8, 16, 32, 64]
                    by_workers[f"dbkit, {colour}, {title}"] = _ask(
                        "workers", cores, url=target.url, colour=colour, counts=counts
                    )
        except NotRun as error:
            tell(f"growth: {title}: not run: {error}")
    panels.append({"title": "time a row", "x": "rows read", "y": "µs a row (CPU)", "lines": by_rows})
    panels.append(
        {"title": "page by cursor and by offset", "x": "page of 50", "y": "ms (wall)", "lines": by_page}
    )
    panels.append(
        {
            "title": "gets on one database",
            "x": "threads or tasks",
            "y": "gets a second",
            "lines": by_workers,
            "log": False,
        }
    )
    tables.append(
        _table("Time per row", "CPU of the client, µs a row, iterating in batches of 1,000.", "rows", by_rows)
    )
    tables.append(
        _table(
            "Pages",
            "Wall time in ms of one page of 50 posts: by cursor as far in as at the start; by `offset`, which the store reads and throws away, in proportion.",
            "page",
            by_page,
        )
    )
    tables.append(
        _table(
            "Threads and tasks",
            "Gets a second on one database with `pool_size=10`, the client on one core.",
            "at once",
            by_workers,
        )
    )
    tell("growth: memory")
    memory = _ask("memory", cores, rows=100_000 if quick else 1_000_000)
    tables.append(
        _table(
            "Memory of `iterate`",
            "MiB above what the process had before, SQLite.",
            "rows read",
            {"MiB": memory},
        )
    )
    tell("growth: shapes")
    shapes = _ask("shapes", cores, shapes=2_000 if quick else 10_000)
    tables.append(
        _table(
            "Memory of different queries",
            "MiB above what the process had before; the cache of compiled queries is bounded.",
            "different shapes",
            {"MiB": shapes},
        )
    )
    tell("growth: first calls")
    tables.append(_first_calls(cores, data))
    return {"panels": panels, "tables": tables}


def _table(
    title: str, about: str, head: str, lines: dict[str, list[tuple[int, float]]]
) -> tuple[str, str, list[str], list[list[str]]]:
    xs = sorted({x for points in lines.values() for x, _ in points})
    rows = [
        [label, *(_shown(next((y for at, y in points if at == x), None)) for x in xs)]
        for label, points in lines.items()
    ]
    return title, about, [head, *(f"{x:,}" for x in xs)], rows


def _shown(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:,.0f}" if value >= 100 else f"{value:.2f}"


def _first_calls(cores: Cores, data: Data) -> tuple[str, str, list[str], list[list[str]]]:
    rows: list[list[str]] = []
    with opened("sqlite", data, cores) as target:
        id = data.users[0].id.hex
        for entry in CONTENDERS:
            if "sqlite" in entry.modules and not entry.is_async and entry.name != "raw":
                each = [_ask("first", cores, name=entry.name, url=target.url, id=id) for _ in range(3)]
                best = [min(values) * 1e3 for values in zip(*each, strict=True)]
                rows.append([entry.label, *(f"{value:.0f}" for value in (*best, sum(best)))])
    about = (
        "CPU in ms, SQLite, the best of three: importing the library (for all, pydantic and dbkit's example entities, "
        "which carry the arguments, are there already), opening it, the first `get`."
    )
    return "The first call", about, ["", "import", "open", "first get", "together"], rows


# -- the tasks ---------------------------------------------------------------------------------------------------------------


def _rows(store: str, url: str, name: str, sizes: Sequence[int]) -> list[tuple[int, float]]:
    import dbkit
    from dbkit.blog import Post, User

    from .contenders.postgres_driver import PostgresDriver
    from .contenders.sqlite_driver import SqliteDriver

    found: list[tuple[int, float]] = []
    with contextlib.ExitStack() as stack:
        if name == "dbkit":
            posts = stack.enter_context(dbkit.connect(url, entities=[User, Post])).store(Post)

            def read(number: int) -> None:
                for _ in itertools.islice(posts.iterate(batch=min(number, 1_000)), number):
                    pass
        else:
            driver = (SqliteDriver if store == "sqlite" else PostgresDriver)(url, checked=True)
            stack.callback(driver.close)

            def read(number: int) -> None:
                driver.iterate(number)

        for number in sizes:
            read(number)
            times = max(1, 5_000 // number)
            best = min(_cpu(partial(read, number), times) for _ in range(3))
            found.append((number, best / times / number * 1e6))
    return found


def _cpu(work: Callable[[], Any], times: int) -> float:
    started = time.process_time()
    for _ in range(times):
        work()
    return time.process_time() - started


def _pages(url: str, numbers: Sequence[int]) -> dict[str, list[tuple[int, float]]]:
    import dbkit
    from dbkit.blog import Post, User

    by_cursor: list[tuple[int, float]] = []
    by_offset: list[tuple[int, float]] = []
    with dbkit.connect(url, entities=[User, Post]) as db:
        posts = db.store(Post)
        cursor: str | None = None
        for number in range(1, max(numbers) + 1):
            if number in numbers:
                at, skipped = cursor, (number - 1) * _PAGE
                by_cursor.append((number, _wall(partial(posts.page, limit=_PAGE, after=at)) * 1e3))
                by_offset.append((number, _wall(partial(posts.find, limit=_PAGE, offset=skipped)) * 1e3))
            cursor = posts.page(limit=_PAGE, after=cursor).next_cursor
    return {"dbkit, by cursor": by_cursor, "dbkit, by offset": by_offset}


def _wall(work: Callable[[], Any]) -> float:
    times: list[float] = []
    for _ in range(7):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return sorted(times)[3]


_SECONDS = 0.5


def _workers(url: str, colour: str, counts: Sequence[int]) -> list[tuple[int, float]]:
    return [
        (count, _threads(url, count) if colour == "threads" else asyncio.run(_tasks(url, count)))
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


def _memory(rows: int) -> list[tuple[int, float]]:
    import dbkit
    from dbkit.blog import Post, User

    found: list[tuple[int, float]] = []
    with dbkit.connect("sqlite://", entities=[User, Post]) as db:
        db.create_schema()
        user = db.store(User).create(User(username="ada", email="ada@example.org"))
        posts = db.store(Post)
        step = 10_000
        for start in range(0, rows, step):
            posts.create_many(
                [Post(user_id=user.id, title=f"title {n}", body="body") for n in range(start, start + step)]
            )
        next(iter(posts.iterate()))
        before = _resident_mib()
        marks = {n for n in (10_000, 100_000, 1_000_000) if n <= rows}
        for number, _ in enumerate(posts.iterate(), 1):
            if number in marks:
                found.append((number, _resident_mib() - before))
    return found


def _shapes(shapes: int) -> list[tuple[int, float]]:
    import dbkit
    from dbkit.blog import Post, User
    from dbkit.query import Filter

    found: list[tuple[int, float]] = []
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
    with dbkit.connect("sqlite://", entities=[User, Post]) as db:
        db.create_schema()
        users = db.store(User)
        users.exists(User.username == "a")
        before = _resident_mib()
        marks = {n for n in (1_000, 2_000, 5_000, 10_000) if n <= shapes}
        chosen = itertools.islice(itertools.product(parts, repeat=4), shapes)
        for number, filters in enumerate(chosen, 1):
            users.exists(*map(_made, filters))
            if number in marks:
                found.append((number, _resident_mib() - before))
    return found


def _made(make: Callable[[], Any]) -> Any:
    return make()


def _first(name: str, url: str, id: str) -> tuple[float, float, float]:
    import importlib

    entry = next(entry for entry in CONTENDERS if entry.name == name)
    marks = [time.process_time()]
    importlib.import_module(f"bench.contenders.{entry.modules['sqlite']}")
    marks.append(time.process_time())
    contender = entry.open("sqlite", url)
    marks.append(time.process_time())
    contender.get(UUID(hex=id))
    marks.append(time.process_time())
    contender.close()
    return marks[1] - marks[0], marks[2] - marks[1], marks[3] - marks[2]


_TASKS: dict[str, Callable[..., Any]] = {
    "rows": _rows,
    "pages": _pages,
    "workers": _workers,
    "memory": _memory,
    "shapes": _shapes,
    "first": _first,
}


def main() -> None:
    """Run one task."""
    print(json.dumps(_TASKS[sys.argv[1]](**json.loads(sys.argv[2]))))


if __name__ == "__main__":
    main()
