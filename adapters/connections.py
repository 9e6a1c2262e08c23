"""Pools of connections, one per event loop and egress policy, and the checked resolver. Only the transport uses it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import threading
from collections import OrderedDict, deque
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass
from functools import cache
from ipaddress import IPv6Address, ip_address
from typing import Any, Final, Protocol

from aiohappyeyeballs import AddrInfoType, start_connection

from adapters.egress import DEFAULT_PORTS, EgressPolicy, ParsedOrigin
from adapters.errors import EgressDeniedError, LLMError, UpstreamConnectionError, UpstreamTimeoutError
from adapters.http1 import Connection

__all__ = ["Origin", "Place", "Pool", "Pools", "Resolver", "SystemResolver"]

DNS_S: Final = 2.0
DNS_CACHE_S: Final = 60
MAX_ANSWERS: Final = 64  # all are checked; Google's API hosts answer with about twenty
MAX_ADDRESSES: Final = 16  # of those, tried
MAX_CONNECTIONS: Final = 4096
MAX_CONNECTIONS_PER_ORIGIN: Final = 2048
KEEPALIVE_S: Final = 15.0
MAX_POLICIES: Final = 64  # pools kept per loop; the least used is closed when its last call ends
MAX_URLS: Final = 1024  # checked URLs remembered per pool


class Resolver(Protocol):
    async def resolve(self, name: str) -> Sequence[str]:
        """Answer the addresses of `name`; raises OSError when there are none. A trailing dot means fully qualified."""
        ...


class SystemResolver:
    """The operating system's resolver, on a few threads of its own: a hanging lookup must not block other work, nor
    the interpreter's exit, as it would in an executor."""

    def __init__(self, max_lookups: int = 16) -> None:
        self._free = threading.BoundedSemaphore(max_lookups)

    async def resolve(self, name: str) -> Sequence[str]:
        if not self._free.acquire(blocking=False):
            raise OSError("too many lookups are under way")
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Sequence[str]] = loop.create_future()
        threading.Thread(target=self._lookup, args=(name, loop, answer), name="resolve", daemon=True).start()
        return await answer

    def _lookup(self, name: str, loop: asyncio.AbstractEventLoop, answer: asyncio.Future[Sequence[str]]) -> None:
        found: Sequence[str] | Exception
        try:
            found = [str(info[4][0]) for info in socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)]
        except (OSError, UnicodeError) as error:
            found = error
        finally:
            self._free.release()

        def deliver() -> None:
            if answer.done():
                return
            if isinstance(found, Exception):
                answer.set_exception(found)
            else:
                answer.set_result(found)

        try:
            loop.call_soon_threadsafe(deliver)
        except RuntimeError:
            pass  # the loop ended before the answer came


class CheckedResolver:
    """Resolves within a deadline and answers only when every address passes the policy: one bad one spoils the name."""

    def __init__(self, policy: EgressPolicy, resolver: Resolver) -> None:
        self._policy = policy
        self._resolver = resolver

    async def resolve(self, host: str, port: int) -> list[AddrInfoType]:
        # A dot at the end keeps search domains from turning `db.example` into an internal name. Names that a rule
        # opens are taken as written: they may stand in /etc/hosts or be a cluster's short names.
        as_written = self._policy.open_local or self._policy.names_host(host, port)
        try:
            async with asyncio.timeout(DNS_S):
                answers = await self._resolver.resolve(host if as_written else f"{host}.")
        except TimeoutError:
            raise UpstreamTimeoutError("the provider's host name did not resolve in time") from None
        except (OSError, UnicodeError):
            answers = ()
        if not answers:
            raise UpstreamConnectionError("the provider's host name does not resolve")
        if len(answers) > MAX_ANSWERS:
            raise EgressDeniedError("the provider's host name resolves to too many addresses")
        addresses = list(dict.fromkeys(answers))
        for address in addresses:
            self._policy.check_address(address, port, host)
        return [_address_info(address, port) for address in addresses[:MAX_ADDRESSES]]


def _address_info(address: str, port: int) -> AddrInfoType:
    if isinstance(ip_address(address), IPv6Address):
        return (socket.AF_INET6, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (address, port, 0, 0))
    return (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (address, port))


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A checked URL, ready to be called."""

    parsed: ParsedOrigin
    origin: Origin
    line: str  # the rest of a request's line after its method, and the Host header
    posting: bytes  # the same for a POST, method and all


class Origin:
    """One scheme, host and port: its idle connections, newest last, and who waits for room."""

    def __init__(self, parsed: ParsedOrigin) -> None:
        self.scheme = parsed.scheme
        self.host = parsed.host
        self.port = parsed.port
        self.is_literal = parsed.address is not None
        self.idle: deque[Connection] = deque()
        self.open = 0  # connections, and those being made
        self.waiting: deque[asyncio.Future[None]] = deque()


class Pool:
    """One policy's connections on one loop, and the URLs that passed it."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, policy: EgressPolicy, resolver: Resolver, tls: ssl.SSLContext | None
    ) -> None:
        self.policy = policy
        self._loop = loop
        self._tls = tls
        self._resolver = CheckedResolver(policy, resolver)
        self._places: dict[str, Place] = {}
        self._origins: dict[str, Origin] = {}
        self._names: dict[tuple[str, int], tuple[float, list[AddrInfoType]]] = {}
        self._lookups: dict[tuple[str, int], asyncio.Task[list[AddrInfoType]]] = {}
        self._open: dict[Connection, Origin] = {}
        self._sweeper: asyncio.TimerHandle | None = None
        self.closed = False

    def checked(self, url: str) -> Place:
        """Check `url`, once: a policy is a value, so that its verdict on a text never changes.

        Addresses behind a name are checked by the resolver, each time that a connection is made.
        """
        place = self._places.get(url)
        if place is None:
            parsed = self.policy.check_url(url)
            origin = self._origins.setdefault(parsed.origin, Origin(parsed))
            target = f"{parsed.path}?{parsed.query}" if parsed.query else parsed.path
            host = f"[{parsed.host}]" if ":" in parsed.host else parsed.host
            named = host if parsed.port == DEFAULT_PORTS[parsed.scheme] else parsed.netloc
            if len(self._places) >= MAX_URLS:
                self._places.clear()
            line = f" {target} HTTP/1.1\r\nHost: {named}\r\n"
            place = Place(parsed=parsed, origin=origin, line=line, posting=f"POST{line}".encode("latin-1"))
            self._places[url] = place
        return place

    def idle(self, origin: Origin) -> Connection | None:
        """A connection that was kept, now in use; None when there is none. The newest, so that the others may age."""
        oldest = self._loop.time() - KEEPALIVE_S
        while origin.idle:
            connection = origin.idle.pop()
            if not connection.lost and connection.idle_since > oldest:
                connection.in_use = True
                return connection
            connection.abort()
        return None

    async def connect(self, origin: Origin, connect_s: float) -> Connection:
        """A new connection, or one that comes free meanwhile. Raises LLMError."""
        try:
            async with asyncio.timeout(connect_s + DNS_S):
                return await self._room(origin) or await self._made(origin, connect_s)
        except LLMError:
            raise
        except ssl.SSLError:
            raise UpstreamConnectionError("the provider's TLS certificate or handshake was not accepted") from None
        except TimeoutError:
            raise UpstreamTimeoutError("the provider could not be connected to in time") from None
        except OSError:
            raise UpstreamConnectionError("the provider refused the connection or is not reachable") from None

    def give_back(self, connection: Connection) -> None:
        """The call is over: the connection is kept if it is sound, else closed."""
        origin = self._open.get(connection)
        if origin is None or not connection.reusable or self.closed:
            connection.abort()
            return
        connection.in_use = False
        connection.idle_since = self._loop.time()
        origin.idle.append(connection)
        _wake(origin)
        if self._sweeper is None:
            self._sweeper = self._loop.call_later(KEEPALIVE_S, self._sweep)

    @property
    def busy(self) -> bool:
        return any(connection.in_use for connection in self._open)

    async def aclose(self) -> None:
        self.closed = True
        if self._sweeper is not None:
            self._sweeper.cancel()
        for task in list(self._lookups.values()):
            task.cancel()
        for connection in list(self._open):
            connection.abort()
        for _ in range(100):  # each says that it is gone in one of the loop's next rounds
            if not self._open:
                break
            await asyncio.sleep(0)

    async def _room(self, origin: Origin) -> Connection | None:
        """Wait until the origin may have one more connection, or until one is idle: then that one."""
        while origin.open >= MAX_CONNECTIONS_PER_ORIGIN:
            waiter: asyncio.Future[None] = self._loop.create_future()
            origin.waiting.append(waiter)
            try:
                await waiter
            except BaseException:
                if waiter.done() and not waiter.cancelled():
                    _wake(origin)  # it was this one's turn, and it is not taken
                raise
            found = self.idle(origin)
            if found is not None:
                return found
        return None

    async def _made(self, origin: Origin, connect_s: float) -> Connection:
        if len(self._open) >= MAX_CONNECTIONS:
            raise UpstreamConnectionError("too many connections are open")
        origin.open += 1
        connection = Connection(self._loop, self._forget)
        try:
            addresses = await self._addresses(origin)
            async with asyncio.timeout(connect_s):
                reached = await start_connection(addresses, happy_eyeballs_delay=0.25, interleave=1)
                try:
                    reached.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    secure = origin.scheme == "https"
                    tls: Any = (self._tls or default_tls()) if secure else None
                    name = origin.host if secure else None
                    await self._loop.create_connection(lambda: connection, sock=reached, ssl=tls, server_hostname=name)
                except BaseException:
                    reached.close()
                    raise
            if connection.lost:
                raise ConnectionResetError
        except BaseException:
            origin.open -= 1
            _wake(origin)
            raise
        self._open[connection] = origin
        return connection

    async def _addresses(self, origin: Origin) -> list[AddrInfoType]:
        """Where the origin is, checked: a literal with its URL, a name now or less than a minute ago."""
        if origin.is_literal:
            return [_address_info(origin.host, origin.port)]
        name = (origin.host, origin.port)
        known = self._names.get(name)
        if known is not None and known[0] > self._loop.time():
            return known[1]
        lookup = self._lookups.get(name)
        if lookup is None:
            lookup = self._lookups[name] = self._loop.create_task(self._look_up(name))
        return await asyncio.shield(lookup)

    async def _look_up(self, name: tuple[str, int]) -> list[AddrInfoType]:
        """One for all who wait."""
        try:
            found = await self._resolver.resolve(*name)
            if len(self._names) >= MAX_URLS:
                self._names.clear()
            self._names[name] = (self._loop.time() + DNS_CACHE_S, found)
            return found
        finally:
            del self._lookups[name]

    def _forget(self, connection: Connection) -> None:
        origin = self._open.pop(connection, None)
        if origin is None:
            return
        origin.open -= 1
        if not connection.in_use:
            with contextlib.suppress(ValueError):
                origin.idle.remove(connection)
        _wake(origin)

    def _sweep(self) -> None:
        """Close what was idle for too long, and come again while anything is idle."""
        self._sweeper = None
        oldest, kept = self._loop.time() - KEEPALIVE_S, False
        for origin in self._origins.values():
            while origin.idle and origin.idle[0].idle_since <= oldest:
                origin.idle.popleft().abort()
            kept = kept or bool(origin.idle)
        if kept:
            self._sweeper = self._loop.call_later(KEEPALIVE_S, self._sweep)


def _wake(origin: Origin) -> None:
    """There is room, or a connection: the next who waits may look."""
    while origin.waiting:
        waiter = origin.waiting.popleft()
        if not waiter.done():
            waiter.set_result(None)
            return


@cache
def default_tls() -> ssl.SSLContext:
    """The system's certificates, host names checked; read once, which takes tens of milliseconds."""
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context


class _LoopPools:
    """The pools of one loop; they close when the loop shuts its asynchronous generators down, as asyncio.run does."""

    def __init__(self, loop: asyncio.AbstractEventLoop, forget: Callable[[], object]) -> None:
        self._loop = loop
        self._forget = forget
        self._pools: OrderedDict[EgressPolicy, Pool] = OrderedDict()
        self._closing: set[asyncio.Task[None]] = set()
        self._until_the_loop_ends = self._close_with_the_loop()
        with contextlib.suppress(StopIteration):
            self._until_the_loop_ends.__anext__().send(None)  # runs to its yield; the loop knows it from here on

    async def _close_with_the_loop(self) -> AsyncGenerator[None, None]:
        try:
            yield
        finally:
            self._forget()
            pools = [*self._pools.values()]
            self._pools.clear()
            for pool in pools:
                await pool.aclose()

    async def aclose(self) -> None:
        await self._until_the_loop_ends.aclose()
        await asyncio.gather(*self._closing)

    def get(self, policy: EgressPolicy) -> Pool | None:
        pool = self._pools.get(policy)
        if pool is not None:
            self._pools.move_to_end(policy)
        return pool

    def add(self, pool: Pool) -> None:
        self._pools[pool.policy] = pool
        if len(self._pools) <= MAX_POLICIES:
            return
        idle = next((old for old in self._pools.values() if old is not pool and not old.busy), None)
        if idle is not None:
            del self._pools[idle.policy]
            task = self._loop.create_task(idle.aclose())
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)


class Pools:
    """Finds the pool for a loop and a policy. Loops are independent; each is touched only from its own thread."""

    def __init__(self, *, resolver: Resolver | None, tls: ssl.SSLContext | None) -> None:
        self._resolver = resolver or SystemResolver()
        self._tls = tls
        self._by_loop: dict[asyncio.AbstractEventLoop, _LoopPools] = {}

    def get(self, loop: asyncio.AbstractEventLoop, policy: EgressPolicy) -> Pool:
        pools = self._by_loop.get(loop)
        if pools is None:
            pools = self._by_loop[loop] = _LoopPools(loop, lambda: self._by_loop.pop(loop, None))
        pool = pools.get(policy)
        if pool is None:
            pool = Pool(loop, policy, self._resolver, self._tls)
            pools.add(pool)
        return pool

    async def aclose(self) -> None:
        pools = self._by_loop.get(asyncio.get_running_loop())
        if pools is not None:
            await pools.aclose()
