"""Child processes that end with their parent, whatever ends it.

An `atexit` handler does not run when a test run is killed, and Linux's parent-death signal is tied to the *thread* that
started the child and is lost when the child changes its user. So a second, tiny process watches: it holds the read end
of a pipe whose write end only this process has. When the pipe closes, it ends what it was told of and removes the
folders. It is this very file, run as a script, so that both sides end processes in the same way; standard library only.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

__all__ = [
    "Account",
    "Child",
    "descendants",
    "free_port",
    "kill_tree",
    "others_may_enter",
    "private_folder",
    "server_account",
    "spawn",
]

STOP_WITHIN_S = 5.0


def free_port() -> int:
    """Return a port of the loopback address that nothing listened on a moment ago; starting must allow for a race."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


# --- processes ----------------------------------------------------------------------------------------------------


def _parents() -> dict[int, int]:
    """Map each process to its parent; empty where neither /proc nor ps can tell."""
    found: dict[int, int] = {}
    if Path("/proc/self/stat").exists():
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                with contextlib.suppress(OSError, ValueError, IndexError):
                    # The command stands in parentheses and may hold spaces; state and parent follow it.
                    stat = (
                        (entry / "stat")
                        .read_text(encoding="utf-8", errors="replace")
                        .rpartition(")")[2]
                        .split()
                    )
                    if stat[0] != "Z":
                        found[int(entry.name)] = int(stat[1])
        return found
    with contextlib.suppress(OSError, ValueError):
        listing = subprocess.run(
            ["ps", "-axo", "pid=,ppid="], capture_output=True, text=True, check=False
        ).stdout
        found.update((int(pid), int(ppid)) for pid, ppid in (line.split() for line in listing.splitlines()))
    return found


def descendants(pid: int) -> list[int]:
    """Return *pid*'s children, their children, and so on; PostgreSQL's each lead a group of their own."""
    parents = _parents()
    found = [pid]
    for one in found:  # grows while it is walked
        found.extend(child for child, parent in parents.items() if parent == one)
    return found[1:]


def _signal(pid: int, number: int) -> bool:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)
        return True
    return False


def _state(stat: Path) -> str:
    """Return a process's or a thread's state, a letter (proc_pid_stat(5)).

    Raises:
        OSError: there is none.
    """
    return stat.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[0]


def _alive(pid: int) -> bool:
    with contextlib.suppress(OSError, IndexError):
        # A zombie that nobody has waited for is dead all the same.
        return _state(Path(f"/proc/{pid}/stat")) != "Z"
    return not Path("/proc/self/stat").exists() and _signal(pid, 0)


def _runs(pid: int) -> bool:
    """Whether a thread of it has not stopped yet: each does when it is next given a core."""
    with contextlib.suppress(OSError, IndexError):
        return any(_state(stat) not in "TtZX" for stat in Path(f"/proc/{pid}/task").glob("*/stat"))
    return False


def kill_tree(pid: int) -> None:
    """Kill *pid* and all its descendants at once, as a power cut would."""
    _signal(pid, signal.SIGSTOP)  # so that it starts no further child while they are listed
    for one in [*descendants(pid), pid]:
        _signal(one, signal.SIGKILL)


def end_tree(pid: int, polite: int) -> None:
    """Ask *pid* to end, by the signal *polite*, and kill it and its descendants when it does not within 5 s."""
    family = descendants(pid)
    for one in (*family, pid):
        _signal(one, signal.SIGCONT)
    _signal(pid, polite)
    deadline = time.monotonic() + STOP_WITHIN_S
    while _alive(pid) and time.monotonic() < deadline:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)
        time.sleep(0.01)
    if _alive(pid):
        kill_tree(pid)
    for one in family:
        _signal(one, signal.SIGKILL)


def _naming(folder: str) -> list[int]:
    """Return the processes whose command line names *folder*: those that were started but not yet told of."""
    found: list[int] = []
    for entry in Path("/proc").glob("[0-9]*") if Path("/proc/self/stat").exists() else ():
        with contextlib.suppress(OSError):
            if os.fsencode(folder) in (entry / "cmdline").read_bytes() and int(entry.name) != os.getpid():
                found.append(int(entry.name))
    return found


def remove_folder(folder: str | Path) -> None:
    """Remove *folder*; a process that is just ending may write into it once more, so try twice."""
    shutil.rmtree(folder, ignore_errors=True)
    if Path(folder).exists():
        time.sleep(0.1)
        shutil.rmtree(folder, ignore_errors=True)


# --- the watcher ----------------------------------------------------------------------------------------------------


def _watch(lines: IO[bytes], parent: int) -> None:
    """Note what the parent says, until it is gone; then end the processes and remove the folders."""
    known: dict[str, tuple[int | None, int]] = {}
    buffer = b""
    # A forked child of the parent holds the pipe open as well, so the parent's own life is looked at, too.
    while os.getppid() == parent:
        if not select.select([lines], [], [], 1.0)[0]:
            continue
        chunk = os.read(lines.fileno(), 65536)
        if not chunk:
            break
        *whole, buffer = (buffer + chunk).split(b"\n")
        for line in whole:
            said = json.loads(line)
            if said["forget"]:
                known.pop(said["folder"], None)
            else:
                known[said["folder"]] = (said["pid"], said["polite"])
    for folder, (pid, polite) in known.items():
        for one in [pid] if pid is not None else _naming(folder):
            end_tree(one, polite)
        remove_folder(folder)


class _Watcher:
    """This process's one watcher, started when first needed; a forked child gets its own."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._owner = 0

    def tell(self, folder: Path, *, pid: int | None = None, polite: int = 0, forget: bool = False) -> None:
        line = json.dumps({"folder": str(folder), "pid": pid, "polite": polite, "forget": forget}) + "\n"
        with self._lock:
            if self._process is None or self._owner != os.getpid():
                if forget:
                    return
                self._owner = os.getpid()
                self._process = subprocess.Popen(
                    [sys.executable, "-I", "-S", __file__, str(self._owner)],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    cwd="/",
                    start_new_session=True,  # a Ctrl-C or a kill of our group shall not reach it
                )
                atexit.register(self._leave, self._owner)
            assert self._process.stdin is not None
            # A watcher that was killed from outside is no reason to fail a test run.
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.write(line.encode())
                self._process.stdin.flush()

    def _leave(self, owner: int) -> None:
        with self._lock:
            if self._process is None or owner != os.getpid():
                return
        for child in list(_running):
            child.remove()
        with self._lock:
            assert self._process.stdin is not None
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.close()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout=4 * STOP_WITHIN_S)
            self._process = None


_watcher = _Watcher()
_running: set[Child] = set()


# --- who runs a server, and where -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Account:
    """The user that a server runs as; `name` is None for the one that runs us."""

    name: str | None = None
    uid: int = -1
    gid: int = -1


def server_account() -> Account:
    """Return an unprivileged account when we are root, as PostgreSQL refuses to run as root; else our own.

    Raises:
        LookupError: we are root, and there is neither a `nobody` nor a `postgres` account.
    """
    if os.name != "posix" or os.geteuid() != 0:
        return Account()
    import pwd

    for name in ("nobody", "postgres"):
        with contextlib.suppress(KeyError):
            entry = pwd.getpwnam(name)
            return Account(name, entry.pw_uid, entry.pw_gid)
    raise LookupError(
        "PostgreSQL does not run as root, and there is no account 'nobody' or 'postgres' to run it"
    )


def others_may_enter(path: Path) -> bool:
    """Return whether any user can go through all folders down to and including *path*."""
    resolved = path.resolve()
    return all(folder.stat().st_mode & 0o001 for folder in (resolved, *resolved.parents))


def private_folder(kind: str, account: Account) -> Path:
    """Make an empty temporary folder that *account* owns, and have it removed when this process ends, however it ends.

    Raises:
        LookupError: no temporary folder can be entered by that account.
    """
    parent = Path(tempfile.gettempdir())
    if account.name is not None and not others_may_enter(parent):
        # TMPDIR may be a folder of our own; another user needs a common one.
        shared = [
            p
            for p in (Path("/tmp"), Path("/var/tmp"), Path("/dev/shm"))
            if p.is_dir() and others_may_enter(p)
        ]
        if not shared:
            raise LookupError(
                f"no temporary folder can be entered by {account.name!r}, who has to run the server"
            )
        parent = shared[0]
    folder = Path(tempfile.mkdtemp(prefix=f"dbkit-{kind}-", dir=parent)).resolve()
    _watcher.tell(folder)
    if account.name is not None:
        os.chown(folder, account.uid, account.gid)
    return folder


@dataclass(eq=False)
class Child:
    """One server process in its folder: started, killed, started again on the same data, stopped.

    `polite` is the signal that makes it end in good order, `removal` the one that ends it when its data goes as well.
    """

    command: list[str]
    folder: Path
    account: Account = field(default_factory=Account)
    polite: int = signal.SIGTERM
    removal: int = signal.SIGKILL
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False, repr=False)
    _paused: list[int] = field(default_factory=list[int], init=False, repr=False)
    _lock: threading.RLock = field(default_factory=threading.RLock, init=False, repr=False)

    @property
    def log(self) -> Path:
        """The file that the server's standard output and error go to, over all its starts."""
        return self.folder / "server.log"

    @property
    def pid(self) -> int | None:
        """The running process's id, None when it does not run."""
        return None if self._process is None or self._process.poll() is not None else self._process.pid

    def start(self) -> None:
        """Start the process; it answers a little later."""
        with self._lock, self.log.open("ab") as log:
            if self.pid is not None:
                return
            _watcher.tell(self.folder, polite=self.removal)
            self._process = spawn(self.command, self.folder, self.account, log)
            _watcher.tell(self.folder, pid=self._process.pid, polite=self.removal)
            _running.add(self)

    def stop(self) -> None:
        """End the process in good order; nothing happens when it does not run."""
        self._end(self.polite)

    def kill(self) -> None:
        """Kill the process and its children at once, as a power cut would; what it acknowledged shall survive."""
        with self._lock:
            if self._process is not None and self._process.poll() is None:
                kill_tree(self._process.pid)
            self._reap()

    def pause(self) -> None:
        """Freeze the process and its children: connections stay open, and nothing answers."""
        with self._lock:
            if self.pid is not None:
                self._paused = [self.pid, *descendants(self.pid)]
            for one in self._paused:
                _signal(one, signal.SIGSTOP)
            until = time.monotonic() + STOP_WITHIN_S
            while any(map(_runs, self._paused)) and time.monotonic() < until:
                time.sleep(0.001)

    def resume(self) -> None:
        """Let a paused process go on."""
        with self._lock:
            for one in reversed(self._paused):
                _signal(one, signal.SIGCONT)
            self._paused = []

    def remove(self) -> None:
        """Stop the process and remove its folder."""
        self._end(self.removal)
        remove_folder(self.folder)
        _watcher.tell(self.folder, forget=True)

    def log_tail(self, lines: int = 20) -> str:
        """Return the log's last *lines* lines."""
        with contextlib.suppress(OSError):
            return "\n".join(self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])
        return ""

    def _end(self, polite: int) -> None:
        with self._lock:
            if self._process is not None and self._process.poll() is None:
                end_tree(self._process.pid, polite)
            self._reap()

    def _reap(self) -> None:
        self._paused = []
        _running.discard(self)
        if self._process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout=STOP_WITHIN_S)
            self._process = None


def spawn(command: list[str], folder: Path, account: Account, output: IO[bytes]) -> subprocess.Popen[bytes]:
    """Start *command* in *folder* as *account*, in a session of its own, so that a Ctrl-C here does not reach it."""
    # A developer's PGHOST or PGDATA is about another server.
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PG", "LC_", "PYTHON"))}
    environment |= {"HOME": str(folder), "LC_ALL": "C", "PYTHONUNBUFFERED": "1"}
    return subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        user=None if account.name is None else account.uid,
        group=None if account.name is None else account.gid,
        extra_groups=None if account.name is None else [],
    )


if __name__ == "__main__":
    _watch(sys.stdin.buffer, int(sys.argv[1]))
