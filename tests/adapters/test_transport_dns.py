"""Names that resolve to trouble: every address is checked, and the connection goes to the address that was checked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from itertools import permutations

import pytest

from adapters.connections import CheckedResolver, SystemResolver
from adapters.egress import EgressPolicy
from adapters.errors import EgressDeniedError, LLMError, UpstreamConnectionError, UpstreamTimeoutError
from adapters.transport import Transport
from adapters.types import Timeouts, WireRequest
from tests.upstream import Upstream, json_answer

PUBLIC = EgressPolicy.public(https_only=False)
TIMEOUTS = Timeouts(connect_s=2.0, first_byte_s=3.0, idle_s=3.0, total_s=5.0)


class FakeResolver:
    """A name server under the test's control: each call takes the next answer, the last one stands."""

    def __init__(self, *answers: Sequence[str] | Exception, delay_s: float = 0.0) -> None:
        self.answers = answers
        self.delay_s = delay_s
        self.asked: list[str] = []

    async def resolve(self, name: str) -> Sequence[str]:
        self.asked.append(name)
        if self.delay_s:
            await asyncio.sleep(self.delay_s)
        answer = self.answers[min(len(self.asked), len(self.answers)) - 1]
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with Upstream() as server:
        server.on("GET", "/", json_answer({}))
        yield server


@pytest.fixture
async def transports() -> AsyncIterator[list[Transport]]:
    made: list[Transport] = []
    yield made
    for transport in made:
        await transport.aclose()


async def call(
    transports: list[Transport], resolver: FakeResolver, upstream: Upstream, policy: EgressPolicy, times: int = 1
) -> list[int]:
    transport = Transport(resolver=resolver)
    transports.append(transport)
    request = WireRequest(method="GET", url=f"http://llm.example:{upstream.port}/")
    return [(await transport.send(request, TIMEOUTS, policy)).status for _ in range(times)]


@pytest.mark.parametrize(
    "answers",
    [
        ["127.0.0.1"],  # what 127.0.0.1.nip.io and a CNAME to localhost come to
        *[list(order) for order in permutations(["93.184.215.14", "127.0.0.1", "2606:4700::1"])],
        ["93.184.215.14", "::1"],
        ["::ffff:127.0.0.1"],
        ["64:ff9b::7f00:1"],
        ["::1%lo"],
        ["0.0.0.0"],
        ["169.254.169.254"],
        ["not an address"],
        [f"93.184.215.{n % 250}" for n in range(999)] + ["127.0.0.1"],
        ["127.0.0.1"] * 1000,
        [f"93.184.{n // 250}.{n % 250}" for n in range(1000)],
    ],
)
async def test_one_bad_address_spoils_the_name(
    upstream: Upstream, transports: list[Transport], answers: list[str]
) -> None:
    with pytest.raises(EgressDeniedError) as caught:
        await call(transports, FakeResolver(answers), upstream, PUBLIC)
    assert upstream.connections == 0
    assert "127.0.0.1" not in str(caught.value)


async def test_a_name_that_a_rule_opens_is_reached_at_its_address(
    upstream: Upstream, transports: list[Transport]
) -> None:
    resolver = FakeResolver(["127.0.0.1"])
    policy = PUBLIC.with_rules(f"llm.example:{upstream.port}")
    assert await call(transports, resolver, upstream, policy) == [200]
    assert resolver.asked == ["llm.example"]  # as written: it may stand in /etc/hosts
    assert upstream.requests[0].headers["host"] == f"llm.example:{upstream.port}"


async def test_other_names_are_asked_for_as_fully_qualified(upstream: Upstream, transports: list[Transport]) -> None:
    resolver = FakeResolver(OSError("no such name"))
    with pytest.raises(UpstreamConnectionError):
        await call(transports, resolver, upstream, PUBLIC)
    assert resolver.asked == ["llm.example."]  # no search domain can turn it into an internal name


async def test_a_name_that_changes_hands_stays_on_checked_addresses(
    upstream: Upstream, transports: list[Transport]
) -> None:
    policy = PUBLIC.with_rules(f"127.0.0.1:{upstream.port}", "llm.example")
    rebinding = FakeResolver(["127.0.0.1"], ["127.0.0.2"])
    assert await call(transports, rebinding, upstream, policy, times=3) == [200] * 3
    assert len(rebinding.asked) == 1 and upstream.connections == 1  # one kept connection, to the checked address


async def test_a_new_connection_checks_what_the_name_has_become(
    upstream: Upstream, transports: list[Transport], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("adapters.connections.DNS_CACHE_S", 0)
    upstream.on("GET", "/", json_answer({}, headers={"connection": "close"}))
    policy = PUBLIC.with_rules(f"127.0.0.1:{upstream.port}")
    rebinding = FakeResolver(["127.0.0.1"], ["127.0.0.2"])
    transport = Transport(resolver=rebinding)
    transports.append(transport)
    request = WireRequest(method="GET", url=f"http://llm.example:{upstream.port}/")
    assert (await transport.send(request, TIMEOUTS, policy)).status == 200
    with pytest.raises(EgressDeniedError):
        await transport.send(request, TIMEOUTS, policy)
    assert len(rebinding.asked) == 2 and upstream.connections == 1


@pytest.mark.parametrize(
    "answer", [OSError("SERVFAIL"), [], UnicodeError("label too long")], ids=["servfail", "empty", "unicode"]
)
async def test_a_name_that_does_not_resolve_is_a_connection_error(
    upstream: Upstream, transports: list[Transport], answer: Exception | list[str]
) -> None:
    with pytest.raises(UpstreamConnectionError) as caught:
        await call(transports, FakeResolver(answer), upstream, PUBLIC)
    assert not isinstance(caught.value, UpstreamTimeoutError)


async def test_a_hanging_name_server_has_its_own_deadline(
    upstream: Upstream, transports: list[Transport], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("adapters.connections.DNS_S", 0.2)
    async with asyncio.timeout(1):
        with pytest.raises(UpstreamTimeoutError):
            await call(transports, FakeResolver(["93.184.215.14"], delay_s=60), upstream, PUBLIC)


async def test_a_cold_name_is_looked_up_once_for_all_who_wait(upstream: Upstream, transports: list[Transport]) -> None:
    resolver = FakeResolver(["127.0.0.1"], delay_s=0.05)
    transport = Transport(resolver=resolver)
    transports.append(transport)
    policy = PUBLIC.with_rules("llm.example")
    request = WireRequest(method="GET", url=f"http://llm.example:{upstream.port}/")
    answers = await asyncio.gather(*(transport.send(request, TIMEOUTS, policy) for _ in range(20)))
    assert [answer.status for answer in answers] == [200] * 20
    assert len(resolver.asked) == 1


async def test_the_hubs_own_address_can_be_closed(upstream: Upstream, transports: list[Transport]) -> None:
    policy = PUBLIC.with_rules("llm.example").with_closed(f"127.0.0.1:{upstream.port}")
    with pytest.raises(EgressDeniedError):
        await call(transports, FakeResolver(["127.0.0.1"]), upstream, policy)
    assert upstream.connections == 0


async def test_the_systems_resolver_answers_and_fails_like_one(monkeypatch: pytest.MonkeyPatch) -> None:
    assert set(await SystemResolver().resolve("localhost")) & {"127.0.0.1", "::1"}
    for name in ("a" * 64 + ".example.", "does-not-exist.invalid."):
        with pytest.raises((OSError, UnicodeError)):
            await SystemResolver().resolve(name)
        with pytest.raises(LLMError):
            await CheckedResolver(PUBLIC, SystemResolver()).resolve(name.removesuffix("."), 443)


async def test_lookups_under_way_are_bounded() -> None:
    with pytest.raises(UpstreamConnectionError):
        resolver = SystemResolver(max_lookups=1)
        resolver._free.acquire()
        await CheckedResolver(PUBLIC, resolver).resolve("llm.example", 443)
