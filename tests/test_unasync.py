"""The generator of synchronous twins: what it maps, what it leaves, what it refuses, the same on every Python."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tools import unasync

ROOT = Path(unasync.__file__).resolve().parent.parent

PAIRS = {
    "async def get(self) -> int:\n    return await self.one()\n": "def get(self) -> int:\n    return self.one()\n",
    "async with a, b:\n    pass\n": "with a, b:\n    pass\n",
    "async  for x in await f():\n    pass\n": "for x in f():\n    pass\n",
    "r = [x async for x in y if await z(x)]\n": "r = [x for x in y if z(x)]\n",
    "x = (await f()).value\n": "x = (f()).value\n",
    "f(\n    await g(),  # AsyncStore waits\n    # and `await g()` here\n)\n": (
        "f(\n    g(),  # Store waits\n    # and `g()` here\n)\n"
    ),
    "from dbkit._async.store import AsyncStore, Asynchronous\n": "from dbkit._sync.store import Store, Asynchronous\n",
    "class AsyncStore(Generic[T]):\n    async def __aenter__(self) -> AsyncIterator[AsyncStore]: ...\n": (
        "class Store(Generic[T]):\n    def __enter__(self) -> Iterator[Store]: ...\n"
    ),
    "@asynccontextmanager\n": "@contextmanager\n",
    "raise StopAsyncIteration\n": "raise StopIteration\n",
    '"""Run `await db.ping()` in an AsyncDatabase; who must await the end, may."""\n': (
        '"""Run `db.ping()` in an Database; who must await the end, may."""\n'
    ),
    '"""\n    >>> async with aconnect(url) as db:\n    ...     async for x in db.store(X).iterate():\n"""\n': (
        '"""\n    >>> with connect(url) as db:\n    ...     for x in db.store(X).iterate():\n"""\n'
    ),
    "awaited = is_async = asyncio_mode = 'async'\n": "awaited = is_async = asyncio_mode = 'async'\n",
    "x = 'ä🦊'; y = await f('ü'); z = AsyncStore\n": "x = 'ä🦊'; y = f('ü'); z = Store\n",
    "x = f\"{AsyncStore!r:>{width}} ü {f'{anext_one} {anext}'}\" f'{{AsyncStore}}' + AsyncStore\n": (
        "x = f\"{Store!r:>{width}} ü {f'{anext_one} {next}'}\" f'{{Store}}' + Store\n"
    ),
    'x = f"""\n{AsyncStore}\n  {a}"""\nawait f()\n': 'x = f"""\n{Store}\n  {a}"""\nf()\n',
    "if x:\n\tawait f()\n\n\n# end": "if x:\n\tf()\n\n\n# end",
    "x = 1\x0c\nawait f()\n": "x = 1\x0c\nf()\n",
    "": "",
}


@pytest.mark.parametrize(("source", "expected"), PAIRS.items())
def test_what_a_twin_says(source: str, expected: str) -> None:
    assert unasync.twin(source, set()) == expected


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    source = tmp_path / "dbkit" / "_async" / "deep" / "store.py"
    source.parent.mkdir(parents=True)
    source.write_text("class AsyncStore:\n    async def get(self) -> None: ...\n", encoding="utf-8")
    monkeypatch.setattr(unasync, "PROJECT", {})
    return tmp_path


def test_it_writes_checks_and_removes(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    twin = root / "dbkit/_sync/deep/store.py"
    assert unasync.main(["--check"], root) == 1
    assert "dbkit/_sync/deep/store.py is missing" in capsys.readouterr().err
    assert not twin.exists()

    assert unasync.main([], root) == 0
    header, *lines = twin.read_text(encoding="utf-8").splitlines()
    assert "from dbkit/_async/deep/store.py" in header
    assert lines == ["class Store:", "    def get(self) -> None: ..."]
    assert unasync.main(["--check"], root) == 0

    twin.write_text(twin.read_text(encoding="utf-8") + "# touched\n", encoding="utf-8")
    assert unasync.main(["--check"], root) == 1
    assert "differs from its source" in capsys.readouterr().err

    (root / "dbkit/_async/deep/store.py").unlink()
    assert unasync.main(["--check"], root) == 1
    assert "is an orphan" in capsys.readouterr().err
    assert unasync.main([], root) == 0
    assert not twin.exists()


def test_an_unused_rename_is_an_error(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(unasync, "PROJECT", {"aforgotten": "forgotten"})
    assert unasync.main([], root) == 1
    assert "no source holds 'aforgotten'" in capsys.readouterr().err


def test_what_has_no_twin_is_refused(root: Path) -> None:
    (root / "dbkit/_async/wait.py").write_text("import time\nimport asyncio\n", encoding="utf-8")
    with pytest.raises(SystemExit, match=r"dbkit/_async/wait\.py:2: asyncio has no twin"):
        unasync.main([], root)


@pytest.mark.parametrize("python", ["python3.11", "python3.12", "python3.13", "python3.14"])
def test_every_python_writes_the_same(python: str, tmp_path: Path) -> None:
    program = shutil.which(python)
    if (
        program is None
        or subprocess.run([program, "-c", ""], capture_output=True, check=False).returncode != 0
    ):
        pytest.skip(f"{python} is not installed")
    script = "import sys; sys.path.insert(0, sys.argv[1]); import unasync\n"
    script += "for source in eval(sys.stdin.read()): print(ascii(unasync.twin(source, set())))\n"
    command = [program, "-c", script, str(ROOT / "tools")]
    sources = [
        *PAIRS,
        *(
            p.read_text(encoding="utf-8")
            for p in sorted(ROOT.glob("**/_async/**/*.py"))
            if ".venv" not in p.parts
        ),
    ]
    there = subprocess.run(
        command, input=ascii(sources), capture_output=True, text=True, check=True, cwd=tmp_path
    )
    here = [ascii(unasync.twin(source, set())) for source in sources]
    assert there.stdout.splitlines() == here, sys.version
