"""Pools of connections, one per event loop and egress policy, and the checked resolver. Only the transport uses it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import threading
from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable, Sequence
from ipaddress import IPv6Address, ip_address
from typing import Final, Protocol

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.connector import Connection
from yarl import URL

from adapters.egress import EgressPolicy, ParsedOrigin
from adapters.errors import EgressDeniedError, UpstreamConnectionError, UpstreamTimeoutError
from adapters.types import WireRequest

__all__ = ["Pools", "Resolver", "SystemResolver", "TooManyInformational"]

DNS_S: Final = 2.0
DNS_CACHE_S: Final = 60
MAX_ANSWERS: Final = 64  # all are checked; Google's API hosts answer with about twenty
MAX_ADDRESSES: Final = 16  # of those, tried
MAX_INFORMATIONAL: Final = 8  # 1xx answers before the real one
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


class CheckedResolver(AbstractResolver):
    """Resolves within a deadline and answers only when every address passes the policy: one bad one spoils the name."""

    def __init__(self, policy: EgressPolicy, resolver: Resolver) -> None:
        self._policy = policy
        self._resolver = resolver

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
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
        return [_result(host, address, port) for address in addresses[:MAX_ADDRESSES]]

    async def close(self) -> None:
        """Nothing is held."""


def _result(host: str, address: str, port: int) -> ResolveResult:
    family = socket.AF_INET6 if isinstance(ip_address(address), IPv6Address) else socket.AF_INET
    flags = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
    return {"hostname": host, "host": address, "port": port, "family": family, "proto": 0, "flags": flags}


class TooManyInformational(Exception):
    """More 1xx answers than any provider sends; aiohttp would read them for ever."""


class _Response(aiohttp.ClientResponse):
    """Reads past a few 1xx answers and no more (aiohttp 3.14 itself has no limit)."""

    async def start(self, connection: Connection) -> aiohttp.ClientResponse:
        protocol = connection.protocol
        assert protocol is not None
        for _ in range(MAX_INFORMATIONAL + 1):
            message, payload = await protocol.read()
            if message.code >= 200 or message.code == 101:
                protocol._buffer.appendleft(((message, payload), 0))
                return await super().start(connection)
        raise TooManyInformational


class Pool:
    """One policy's connections on one loop, and the URLs that passed it."""

    def __init__(self, policy: EgressPolicy, resolver: Resolver, tls: ssl.SSLContext | None) -> None:
        self.policy = policy
        self._urls: dict[str, tuple[URL, ParsedOrigin]] = {}
        self._timeouts: dict[float, aiohttp.ClientTimeout] = {}
        connector = aiohttp.TCPConnector(
            resolver=CheckedResolver(policy, resolver),
            ssl=tls if tls is not None else True,
            limit=MAX_CONNECTIONS,
            limit_per_host=MAX_CONNECTIONS_PER_ORIGIN,
            keepalive_timeout=KEEPALIVE_S,
            ttl_dns_cache=DNS_CACHE_S,
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"Accept": "*/*", "Accept-Encoding": "identity", "User-Agent": "llmhub"},
            auto_decompress=False,
            trust_env=False,
            response_class=_Response,
            max_field_size=16 * 1024,
        )

    def checked(self, url: str) -> tuple[URL, ParsedOrigin]:
        """Check `url`, once: a policy is a value, so that its verdict on a text never changes.

        Addresses behind a name are checked by the resolver, each time that a connection is made.
        """
        found = self._urls.get(url)
        if found is None:
            parsed = self.policy.check_url(url)
            built = URL.build(
                scheme=parsed.scheme,
                host=parsed.host,
                port=parsed.port,
                path=parsed.path,
                query_string=parsed.query,
                encoded=True,
            )
            if len(self._urls) >= MAX_URLS:
                self._urls.clear()
            found = self._urls[url] = (built, parsed)
        return found

    async def request(self, request: WireRequest, url: URL, connect_s: float) -> aiohttp.ClientResponse:
        timeout = self._timeouts.get(connect_s)
        if timeout is None:
            # `connect` also covers the lookup and the wait for a free connection. Reads have our own deadlines.
            timeout = aiohttp.ClientTimeout(total=None, connect=connect_s + DNS_S, sock_connect=connect_s)
            if len(self._timeouts) >= MAX_URLS:
                self._timeouts.clear()
            self._timeouts[connect_s] = timeout
        return await self._session.request(
            request.method,
            url,
            data=request.body or None,
            headers=request.headers,
            allow_redirects=False,
            timeout=timeout,
        )

    @property
    def busy(self) -> bool:
        connector = self._session.connector
        return connector is not None and bool(connector._acquired)

    async def aclose(self) -> None:
        await self._session.close()


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
            pool = Pool(policy, self._resolver, self._tls)
            pools.add(pool)
        return pool

    async def aclose(self) -> None:
        pools = self._by_loop.get(asyncio.get_running_loop())
        if pools is not None:
            await pools.aclose()
