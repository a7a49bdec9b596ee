"""A network that fails when it is told to: it stands between the adapters and PostgreSQL."""

import random
import selectors
import socket
import struct
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from enum import Enum, auto
from time import monotonic

import attrs
import sqlalchemy as sa

# Below what systems hand out for outgoing connections: nobody else gets it while it refuses.
_PORTS = range(20_000, 32_000)
_AT_ONCE = 65_536
_SLICE = 100
_LONGEST = 64  # of the words that a fault waits for
_RESET = struct.pack("ii", 1, 0)  # close at once, with nothing but a reset


class Way(Enum):
    """Whose words are meant."""

    TO_SERVER = auto()
    TO_CLIENT = auto()


class Effect(Enum):
    """What happens to a connection."""

    RESET = auto()
    """Both ends are told that it is gone."""

    SILENCE = auto()
    """Nothing comes through any more, and nobody is told."""


@attrs.frozen(kw_only=True)
class Fault:
    """What happens to the connection that first carries so many bytes more, or such words.

    Of the words themselves *share* comes through: 0 is nothing, 0.5 half of the packet.
    Without *words* it is exactly *after* bytes that do, counted from when it is armed.
    """

    effect: Effect
    way: Way = Way.TO_SERVER
    after: int = 0
    words: bytes | None = None
    share: float = 0.0


class Proxy:
    """Passes on what comes to a port of its own, except for what it is told to do to it."""

    def __init__(self, upstream: sa.URL) -> None:
        self._upstream = upstream
        self._lock = threading.Lock()
        self._links: set[_Link] = set()
        self._armed: Fault | None = None
        self._carried = self._times = 0
        self._bytes = dict.fromkeys(Way, 0)
        self._listener: socket.socket | None = None
        self._accepting: threading.Thread | None = None
        self.is_silent = False
        """Whether new connections are accepted and then ignored."""
        self.latency = 0.0
        """How many seconds later than it could each answer comes."""
        self.pace = 0.0
        """How many seconds every 100 bytes of an answer take."""
        self.fired = 0
        """How many faults have happened."""
        self.port = 0
        self._listen()

    @property
    def url(self) -> str:
        """Return the URL of the database as seen through here."""
        through = self._upstream.set(host="127.0.0.1", port=self.port, query={})
        return through.render_as_string(hide_password=False)

    @property
    def open_links(self) -> int:
        """Return how many connections there are."""
        return len(self._links)

    def arm(self, fault: Fault, times: int = 1) -> None:
        """Have a fault happen so many times, to a connection each."""
        with self._lock:
            self._armed, self._carried, self._times = fault, 0, times

    def carried(self, way: Way) -> int:
        """Return how many bytes came one way, in all."""
        return self._bytes[way]

    def has_fired(self) -> bool:
        """Return whether what was armed has happened as often as it should."""
        return self._armed is None

    def refuse(self) -> None:
        """Refuse new connections; those there are stay."""
        if self._listener is not None:
            listener, self._listener = self._listener, None
            with suppress(OSError):  # wakes the thread that waits for connections
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()
            assert self._accepting is not None
            self._accepting.join()

    def reset_all(self) -> None:
        """Reset the connections there are."""
        for link in list(self._links):
            link.end(Effect.RESET)

    def silence_all(self) -> None:
        """Let nothing more through on the connections there are."""
        for link in list(self._links):
            link.end(Effect.SILENCE)

    def recover(self) -> None:
        """Behave; what was broken stays broken, but is no longer held open."""
        with self._lock:
            self._armed = None
        self.is_silent, self.latency, self.pace = False, 0.0, 0.0
        for link in list(self._links):
            if link.is_silent:
                link.end(Effect.RESET)
        if self._listener is None:
            self._listen()

    def close(self) -> None:
        """End every connection, and take no more."""
        self.refuse()
        for link in list(self._links):
            link.end(Effect.RESET)
            link.join()

    def allowed(self, way: Way, tail: bytes, data: bytes) -> tuple[bytes, Effect | None]:
        """Return what of *data* comes through, and what happens to the connection then."""
        with self._lock:
            self._bytes[way] += len(data)
            fault = self._armed
            if fault is None or fault.way is not way:
                return data, None
            if fault.words is None:
                self._carried += len(data)
                over = self._carried - fault.after
                if over < 0:
                    return data, None
                kept = data[: len(data) - over]
            else:
                # Of what came before, only as much as the words can have begun in.
                begun = tail[max(len(tail) - len(fault.words) + 1, 0) :]
                place = (begun + data).find(fault.words)
                if place < 0:
                    return data, None
                first = max(place - len(begun), 0)
                kept = data[: first + int((len(data) - first) * fault.share)]
            self.fired += 1
            self._times -= 1
            self._armed, self._carried = (fault if self._times else None), 0
            return kept, fault.effect

    def connect_upstream(self) -> socket.socket:
        """Return a new connection to the server."""
        folder = self._upstream.query.get("host")
        if isinstance(folder, str) and folder.startswith("/"):
            to_server = socket.socket(socket.AF_UNIX)
            to_server.connect(f"{folder}/.s.PGSQL.{self._upstream.port or 5432}")
            return to_server
        at = (self._upstream.host or "127.0.0.1", self._upstream.port or 5432)
        return socket.create_connection(at)

    def forget(self, link: "_Link") -> None:
        """No longer count a connection that has ended."""
        self._links.discard(link)

    def _listen(self) -> None:
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        while True:
            try:
                listener.bind(("127.0.0.1", self.port or random.SystemRandom().choice(_PORTS)))
                break
            except OSError:
                if self.port:
                    raise
        listener.listen(256)
        self.port = listener.getsockname()[1]
        self._listener = listener
        self._accepting = threading.Thread(target=self._accept, args=(listener,), daemon=True)
        self._accepting.start()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            link = _Link(self, client)
            self._links.add(link)
            link.start()


class _Link(threading.Thread):
    """One connection, to the client and on to the server, and the thread that serves both."""

    def __init__(self, proxy: Proxy, client: socket.socket) -> None:
        super().__init__(daemon=True)
        self._proxy = proxy
        self._client = client
        self._wake, self._woken = socket.socketpair()
        self._ending: Effect | None = None
        self.is_silent = proxy.is_silent

    def end(self, how: Effect) -> None:
        """Have it end so, from any thread."""
        self._ending = how
        with suppress(OSError):
            self._wake.send(b"!")

    def run(self) -> None:
        try:
            with closing(self._wake), closing(self._woken), closing(self._client):
                if not self.is_silent:
                    with suppress(OSError), closing(self._proxy.connect_upstream()) as server:
                        self._serve(server)
                if self.is_silent:
                    self._hold()
                if self._ending is not None:
                    self._reset(self._client)
        finally:
            self._proxy.forget(self)

    def _serve(self, server: socket.socket) -> None:
        others = {self._client: (server, Way.TO_SERVER), server: (self._client, Way.TO_CLIENT)}
        tails = dict.fromkeys(Way, b"")
        late: deque[tuple[float, bytes]] = deque()
        with selectors.DefaultSelector() as ready:
            for one in (*others, self._woken):
                ready.register(one, selectors.EVENT_READ)
            while True:
                wait = max(late[0][0] - monotonic(), 0) if late else None
                events = ready.select(wait)
                while late and late[0][0] <= monotonic():
                    self._client.sendall(late.popleft()[1])
                for key, _ in events:
                    if key.fileobj is self._woken:
                        effect, data, to, way = self._ending, b"", self._client, Way.TO_CLIENT
                    else:
                        assert isinstance(key.fileobj, socket.socket)
                        to, way = others[key.fileobj]
                        data = key.fileobj.recv(_AT_ONCE)
                        if not data:
                            return
                        whole = tails[way] + data
                        data, effect = self._proxy.allowed(way, tails[way], data)
                        tails[way] = whole[-_LONGEST:]
                    if way is Way.TO_CLIENT and (self._proxy.latency or self._proxy.pace):
                        due = max(monotonic() + self._proxy.latency, late[-1][0] if late else 0)
                        for first in range(0, len(data), _SLICE):
                            due += self._proxy.pace
                            late.append((due, data[first : first + _SLICE]))
                    else:
                        to.sendall(data)
                    if effect is not None:
                        self._ending = self._ending or effect
                        self.is_silent = effect is Effect.SILENCE
                        if self.is_silent:
                            self._hold()
                        self._reset(server)
                        return

    def _hold(self) -> None:
        """Stay open and do nothing until it is to end."""
        while self._ending is not Effect.RESET:
            self._woken.recv(16)

    def _reset(self, one: socket.socket) -> None:
        with suppress(OSError):
            one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)


@contextmanager
def proxy_to(url: str) -> Iterator[Proxy]:
    """Give a proxy to the server at a URL, until the end of the block."""
    proxy = Proxy(sa.make_url(url))
    try:
        yield proxy
    finally:
        proxy.close()
