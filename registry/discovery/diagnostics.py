"""Whether providers answer: all asked at once, each within a deadline. Answers no key; calls no model that bills.

A provider without a list of models is asked for one short answer, as a connection test is.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Hashable, Iterable
from dataclasses import dataclass, replace
from typing import Any, Final

from adapters import Adapter
from adapters.errors import AuthenticationError, LLMError, UpstreamConnectionError, UpstreamTimeoutError
from adapters.loop_thread import run_sync
from registry.catalog.rows import read_providers
from registry.catalog.targets import stored_keys_allowed
from registry.discovery.probe import (
    FLOOR_S,
    ConnectionReport,
    ProbeError,
    adapter_for,
    any_model,
    as_shown,
    choose_credential,
    error_of,
    secret_of,
    test_connection,
)
from registry.models import Credential, Provider
from registry.vault.keyring import DecryptError

DEADLINE_S: Final = 8.0
MAX_PROVIDERS: Final = 100
_AT_ONCE: Final = 16
_KEPT_S: Final = 10.0  # a page that asks again and again makes the hub call nobody again for so long
_MAX_KEPT: Final = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderCheck:
    """How one check went. `reachable` and `key_accepted`: yes, no, or None for not known."""

    state: str  # ok, failing, skipped
    reachable: bool | None = None
    key_accepted: bool | None = None
    latency_ms: int | None = None
    models: int | None = None
    error: ProbeError | None = None

    def as_dict(self) -> dict[str, Any]:
        error = None if self.error is None else {"code": self.error.code, "message": self.error.message}
        return {
            "state": self.state,
            "reachable": self.reachable,
            "key_accepted": self.key_accepted,
            "latency_ms": self.latency_ms,
            "models": self.models,
            "error": error,
        }


@dataclass(slots=True, kw_only=True)
class _Checking:
    """One provider on its way."""

    provider: Provider
    check: ProviderCheck | None = None
    adapter: Adapter | None = None
    keyed: bool = False
    chat_model: str = ""
    report: ConnectionReport | None = None
    failure: LLMError | None = None


_kept: dict[tuple[Hashable, Hashable], tuple[float, ProviderCheck]] = {}


def check_providers(
    providers: Iterable[Provider], user: Any, *, deadline_s: float = DEADLINE_S, kept_s: float = _KEPT_S
) -> dict[Hashable, ProviderCheck]:
    """Check every provider as a call by `user` would reach it; answers by id. Blocks up to `deadline_s`.

    What was checked for the same user less than `kept_s` ago is not asked again. Outcomes at providers that the user
    may edit are kept as their health.
    """
    now = time.monotonic()
    asked = [_prepared(provider, user, now - kept_s) for provider in list(providers)[:MAX_PROVIDERS]]
    run_sync(_check_all([one for one in asked if one.adapter is not None], deadline_s))
    editable = set(Provider.objects.editable_by(user).values_list("pk", flat=True))
    vague = False
    for one in asked:
        if one.report is None:
            continue
        one.check = _read(one)
        if one.provider.pk in editable:
            one.provider.note_health(
                latency_ms=one.report.latency_ms, error=one.failure, models=one.report.model_count, by=user
            )
        shown = as_shown(one.report, one.failure, user, wait=False)
        if shown is not one.report:
            vague = True
            one.check = replace(one.check, reachable=None, latency_ms=None, error=shown.error)
        _keep((user.pk, one.provider.pk), one.check)
    if vague:  # the time would tell a closed port from a forbidden address
        time.sleep(max(0.0, FLOOR_S - (time.monotonic() - now)))
    return {one.provider.pk: one.check for one in asked if one.check is not None}


def _prepared(provider: Provider, user: Any, since: float) -> _Checking:
    one = _Checking(provider=provider)
    kept = _kept.get((user.pk, provider.pk))
    if kept is not None and kept[0] > since:
        one.check = kept[1]
        return one
    if not provider.enabled:
        one.check = ProviderCheck(state="skipped", error=ProbeError(code="disabled", message="It is disabled."))
        return one
    if provider.dry_run or provider.adapter == "stub":
        one.check = ProviderCheck(state="ok", reachable=None, error=None)
        return one
    entry = read_providers([provider.pk])[0]
    try:
        used: Credential | None = choose_credential(provider, user) if stored_keys_allowed(entry) else None
        secret = secret_of(used, entry, user)
        one.keyed = secret.api_key is not None
        one.adapter = adapter_for(entry, user, None, secret)
        one.chat_model = any_model(provider, user)
    except DecryptError:
        error = ProbeError(code="key_unreadable", message="The key can't be opened with the present encryption keys.")
        one.check = ProviderCheck(state="failing", error=error)
    except LLMError as error:
        state = "skipped" if error.code == "no_key" else "failing"
        one.check = ProviderCheck(state=state, error=error_of(error))
    return one


async def _check_all(asked: list[_Checking], deadline_s: float) -> None:
    turns = asyncio.Semaphore(_AT_ONCE)
    ends = asyncio.get_running_loop().time() + deadline_s

    async def check(one: _Checking) -> None:
        assert one.adapter is not None
        async with turns:
            left = max(0.1, ends - asyncio.get_running_loop().time())
            one.report, one.failure = await test_connection(one.adapter, chat_model=one.chat_model, deadline_s=left)

    await asyncio.gather(*(check(one) for one in asked))


def _read(one: _Checking) -> ProviderCheck:
    """What a report says of the address and of the key."""
    report, failure = one.report, one.failure
    assert report is not None
    if failure is None:
        return ProviderCheck(
            state="ok",
            reachable=True,
            key_accepted=True if one.keyed else None,
            latency_ms=report.latency_ms,
            models=report.model_count,
        )
    unreached = isinstance(failure, UpstreamConnectionError | UpstreamTimeoutError)
    answered = failure.upstream_status is not None
    return ProviderCheck(
        state="failing",
        reachable=True if answered else False if unreached else None,
        key_accepted=False if isinstance(failure, AuthenticationError) else None,
        latency_ms=report.latency_ms,
        models=report.model_count,
        error=report.error,
    )


def _keep(place: tuple[Hashable, Hashable], check: ProviderCheck) -> None:
    if len(_kept) >= _MAX_KEPT:
        _kept.clear()
    _kept[place] = (time.monotonic(), check)
