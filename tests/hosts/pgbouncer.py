"""A PgBouncer for the tests, in front of the PostgreSQL that they use."""

import os
import pwd
import random
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import attrs
import pytest
import sqlalchemy as sa

from tests.postgres import comes_true

POOL = 3
"""Sessions of the server that all clients share."""

_PORTS = range(20_000, 32_000)

_CONFIGURATION = """
[databases]
* = {server}

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = {pool}
max_client_conn = 200
logfile = {folder}/pgbouncer.log
pidfile = {folder}/pgbouncer.pid
"""


@attrs.frozen(kw_only=True)
class Pooler:
    """A running PgBouncer in transaction mode."""

    port: int

    def url(self, url: str, **query: str) -> str:
        """Return the URL of a database of the server, by way of the pooler."""
        through = sa.make_url(url).set(host="127.0.0.1", port=self.port, query=query)
        return through.render_as_string(hide_password=False)

    @contextmanager
    def sessions(self, url: str) -> Iterator[list[sa.Connection]]:
        """Give a connection to each of the sessions that the clients of a database share."""
        engine = sa.create_engine(
            self.url(url), poolclass=sa.NullPool, connect_args={"prepare_threshold": None}
        )
        with ExitStack() as opened:
            # A transaction that is open keeps its session.
            yield [_in_transaction(opened.enter_context(engine.connect())) for _ in range(POOL)]


@contextmanager
def start_pooler(server_url: str) -> Iterator[Pooler]:
    """Start PgBouncer in front of the server at a URL, and stop it afterwards."""
    program = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if program is None:
        pytest.fail(
            "there is no pgbouncer: run `make test-hosts`, which installs it", pytrace=False
        )
    url = sa.make_url(server_url)
    server = {"host": url.host, "port": url.port, "user": url.username, "password": url.password}
    with tempfile.TemporaryDirectory(prefix="angle-reco-pgbouncer-", dir="/tmp") as name:
        folder, port = Path(name), _free_port()
        configuration = folder / "pgbouncer.ini"
        configuration.write_text(
            _CONFIGURATION.format(
                server=" ".join(f"{key}={value}" for key, value in server.items() if value),
                port=port,
                pool=POOL,
                folder=folder,
            ),
            "utf-8",
        )
        with subprocess.Popen(
            [program, "--quiet", str(configuration)],
            **_as_another_user(folder),
            stdin=subprocess.DEVNULL,
            cwd=folder,
            start_new_session=True,
        ) as process:
            try:
                assert comes_true(lambda: _listens(port)), "PgBouncer does not start"
                yield Pooler(port=port)
            finally:
                process.terminate()


def _in_transaction(connection: sa.Connection) -> sa.Connection:
    connection.exec_driver_sql("SELECT 1")
    return connection


def _as_another_user(folder: Path) -> dict[str, Any]:
    """Return as whom PgBouncer runs: it refuses to be root."""
    if os.geteuid() != 0:
        return {}
    another = pwd.getpwnam("nobody")
    for path in [folder, *folder.iterdir()]:
        os.chown(path, another.pw_uid, another.pw_gid)
    return {"user": another.pw_uid, "group": another.pw_gid, "extra_groups": []}


def _listens(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def _free_port() -> int:
    while True:
        port = random.SystemRandom().choice(_PORTS)
        with socket.socket() as tried, suppress(OSError):
            tried.bind(("127.0.0.1", port))
            return port
