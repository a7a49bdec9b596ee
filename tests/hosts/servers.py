"""Real servers of applications, as processes, and clients of theirs."""

import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import attrs

ROOT = Path(__file__).parents[2]
_PATIENCE = 60


@attrs.frozen
class ClaimStatus:
    """What a server answered: the status (0 where it did not), the text, the seconds it took."""

    status: int
    text: str
    seconds: float


@contextmanager
def serving(command: Sequence[str], log: Path, **environment: str) -> Iterator[int]:
    """Run a server, whose command names its port as PORT; give the port once it answers."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    scripts = Path(sys.executable).parent
    given = [part.replace("PORT", str(port)) for part in command]
    with log.open("wb") as written:
        process = subprocess.Popen(
            [str(scripts / given[0]), *given[1:]],
            cwd=ROOT,
            env={**os.environ, **environment},
            stdout=written,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        _wait_for(process, port, log)
        yield port
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def get(port: int, path: str, *, seconds: float = _PATIENCE) -> ClaimStatus:
    """Ask a server for a page."""
    began = time.perf_counter()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=seconds)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        status, text = response.status, response.read().decode()
    except (OSError, http.client.HTTPException) as error:
        status, text = 0, type(error).__name__
    finally:
        connection.close()
    return ClaimStatus(status, text, time.perf_counter() - began)


def get_all(port: int, paths: Sequence[str], *, clients: int) -> list[ClaimStatus]:
    """Ask for all pages, so many at a time."""
    with ThreadPoolExecutor(clients) as threads:
        return list(threads.map(lambda path: get(port, path), paths))


def _wait_for(process: "subprocess.Popen[bytes]", port: int, log: Path) -> None:
    until = time.monotonic() + _PATIENCE
    while time.monotonic() < until:
        if process.poll() is not None:
            raise AssertionError(f"the server ended: {log.read_text()[-2_000:]}")
        with socket.socket() as asked:
            if asked.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise AssertionError(f"the server did not listen: {log.read_text()[-2_000:]}")
