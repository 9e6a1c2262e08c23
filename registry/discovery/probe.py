"""Connection tests: the cheapest calls that show whether an address, a key and a model work. Answers no key, ever.

Used by the API, the admin site, the keys page and `manage.py test_provider`; each test leaves an audit event.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from django.utils import timezone

from adapters import Adapter, EgressPolicy, adapter_from_config
from adapters.create import shared_transport
from adapters.egress import origin_of
from adapters.errors import (
    AuthenticationError,
    ConfigurationError,
    EgressDeniedError,
    LLMError,
    UnsupportedFeatureError,
    UpstreamConnectionError,
    UpstreamProtocolError,
    UpstreamTimeoutError,
)
from adapters.loop_thread import run_sync
from registry.access import audit
from registry.catalog.endpoints import read_rules
from registry.catalog.entries import LLMEntry, ProviderEntry, Secret
from registry.catalog.rows import read_providers
from registry.catalog.targets import build_adapter, key_from_environment, needs_key, stored_keys_allowed
from registry.models import Credential, CredentialState, KeyPolicy, LLMModel, Provider, UserSettings
from registry.vault.keyring import DecryptError

DEADLINE_S: Final = 15.0
MAX_NAMES: Final = 50
# A user's failed test lasts at least this long, so that the time tells no closed port from a forbidden address.
FLOOR_S: Final = 0.3
_UNREACHABLE: Final = "The endpoint could not be reached, may not be called, or does not speak this adapter's dialect."


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeStep:
    step: str  # "list_models" or "chat"
    ok: bool
    latency_ms: int
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeError:
    """Our words for what went wrong; never the upstream's."""

    code: str
    message: str
    upstream_status: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionReport:
    """What was tried and how it went. `outcome` is "ok" or the error's code."""

    ok: bool
    latency_ms: int
    tried: tuple[ProbeStep, ...] = ()
    models: tuple[str, ...] = ()  # ids the provider lists, at most MAX_NAMES
    model_count: int | None = None  # how many it lists; None where it lists none or was not asked
    error: ProbeError | None = None

    @property
    def outcome(self) -> str:
        return "ok" if self.error is None else self.error.code


@dataclass(slots=True)
class _Probe:
    """One test as it runs."""

    adapter: Adapter
    chat_model: str  # asked for one short answer where listing shows nothing, or where `prove_model` is set
    prove_model: bool
    tried: list[ProbeStep]
    models: tuple[str, ...] = ()
    model_count: int | None = None

    async def run(self) -> None:
        """Raises LLMError when the endpoint does not work."""
        listed = await self._step("list_models", self._list())
        if not listed and not self.chat_model:
            raise UnsupportedFeatureError("The provider has no list of models: name a model to test it with.")
        if not listed or self.prove_model:
            await self._step("chat", self._chat())

    async def _step(self, name: str, call: Any) -> bool:
        started = time.monotonic()
        try:
            ok, detail = await call
        except LLMError as error:
            self.tried.append(ProbeStep(step=name, ok=False, latency_ms=_ms(started), detail=str(error)))
            raise
        except asyncio.CancelledError:
            self.tried.append(ProbeStep(step=name, ok=False, latency_ms=_ms(started), detail="no answer in time"))
            raise
        self.tried.append(ProbeStep(step=name, ok=ok, latency_ms=_ms(started), detail=detail))
        return bool(ok)

    async def _list(self) -> tuple[bool, str]:
        try:
            listed = await self.adapter.list_models()
        except LLMError as error:
            if isinstance(error, UnsupportedFeatureError) or error.upstream_status in (404, 405, 501):
                return False, "the provider has no list of models"
            raise
        ids = [model.id for model in listed]
        self.models, self.model_count = tuple(ids[:MAX_NAMES]), len(ids)
        if not self.prove_model:
            return True, f"{len(ids)} models"
        known = "is" if self.chat_model in ids else "is not"
        return True, f"{len(ids)} models; {self.chat_model} {known} among them"

    async def _chat(self) -> tuple[bool, str]:
        result = await self.adapter.chat("ping", self.chat_model, max_output_tokens=16)
        return True, f"answered with {len(result.reply or '')} characters"


async def test_connection(
    adapter: Adapter, *, chat_model: str = "", prove_model: bool = False, deadline_s: float = DEADLINE_S
) -> tuple[ConnectionReport, LLMError | None]:
    """List the provider's models; where that shows too little, ask for one short answer. Reports instead of raising.

    `prove_model` asks `chat_model` for an answer even where the list works.
    """
    probe = _Probe(adapter, chat_model or adapter.target.model, prove_model, [])
    started = time.monotonic()
    failure: LLMError | None = None
    try:
        async with asyncio.timeout(deadline_s):
            await probe.run()
    except TimeoutError:
        failure = UpstreamTimeoutError(f"There was no answer within {deadline_s:g} seconds.")
    except LLMError as error:
        failure = error
    report = ConnectionReport(
        ok=failure is None,
        latency_ms=_ms(started),
        tried=tuple(probe.tried),
        models=probe.models,
        model_count=probe.model_count,
        error=None if failure is None else error_of(failure),
    )
    return report, failure


test_connection.__test__ = False  # type: ignore[attr-defined]  # the name is the contract's; it is no test


def probe_provider(
    provider: Provider,
    user: Any,
    *,
    model: LLMModel | None = None,
    credential: Credential | None = None,
    address: str | None = None,
) -> ConnectionReport:
    """Test a stored provider as `user` would call it, with `credential` or the key that would be chosen for them.

    Blocks up to DEADLINE_S. Notes the outcome at the provider and the credential where the user may change those.
    """
    entry = read_providers([provider.pk])[0]
    used = credential
    # Before the key is opened and sent: a test that can't be noted does not happen.
    audit.record(user, "begin test", credential or model or provider, address=address)
    try:
        if used is None and stored_keys_allowed(entry):
            used = choose_credential(provider, user)
        adapter = adapter_for(entry, user, model, secret_of(used, entry, user))
    except DecryptError as error:
        return _refused(
            provider, user, ProbeError(code="key_unreadable", message=f"The key can't be used: {error}."), address
        )
    except LLMError as error:
        return _refused(provider, user, error_of(error), address)
    chat_model = model.model_id if model else any_model(provider, user)
    report, failure = run_sync(test_connection(adapter, chat_model=chat_model, prove_model=model is not None))
    if Provider.objects.editable_by(user).filter(pk=provider.pk).exists():
        count = report.model_count
        provider.note_health(latency_ms=report.latency_ms, error=failure, models=count, by=user)
    if used is not None and Credential.objects.editable_by(user).filter(pk=used.pk).exists():
        _note_key(used, failure)
    report = as_shown(report, failure, user)
    _audit(user, credential or model or provider, report, address)
    return report


def probe_config(config: Mapping[str, Any], user: Any, *, address: str | None = None) -> ConnectionReport:
    """Test a provider that is not saved (`adapters.adapter_from_config`'s keys). No stored or environment key is used.

    Raises ConfigurationError for a mapping that can't be read.
    """
    try:
        adapter = adapter_from_config(config, transport=shared_transport(), policy=policy_for(user))
    except EgressDeniedError as error:
        report = ConnectionReport(ok=False, latency_ms=0, error=error_of(error))
    else:
        _note_unsaved(user, "begin test", config, {}, address)
        wanted = str(config.get("model") or "")
        call = test_connection(adapter, chat_model=wanted, prove_model=bool(wanted))
        report, failure = run_sync(call)
        report = as_shown(report, failure, user)
    _note_unsaved(user, "test", config, {"outcome": report.outcome}, address)
    return report


def _note_unsaved(
    user: Any, action: str, config: Mapping[str, Any], told: Mapping[str, Any], address: str | None
) -> None:
    details = {"adapter": config.get("adapter"), "origin": _origin(config), **told}
    audit.note(user, action, Provider._meta.db_table, "a configuration that is not saved", details, address)


def policy_for(user: Any) -> EgressPolicy:
    """What `user` may have called by typing an address: an admin what global providers may, others what theirs may."""
    if user.is_superuser:
        return read_rules().policy_for(None)
    return read_rules().policy_for(user.pk, _groups(user))


def choose_credential(provider: Provider, user: Any) -> Credential | None:
    """The stored key that `user`'s policy picks: their own, or the shared one; None when there is none."""
    preference = UserSettings.objects.filter(user=user).values_list("key_policy", flat=True).first()
    rows = Credential.objects.visible_to(user).usable().filter(provider=provider)
    if preference == KeyPolicy.OWN_ONLY:
        rows = rows.filter(owner=user)
    elif preference == KeyPolicy.SHARED_ONLY:
        rows = rows.shared()
    live = [row for row in rows.select_related("provider") if not row.is_expired]
    return min(live, key=lambda row: (row.owner_id is None, -row.weight, row.label), default=None)


def _groups(user: Any) -> frozenset[Any]:
    return frozenset(user.groups.values_list("pk", flat=True))


def secret_of(credential: Credential | None, provider: ProviderEntry, user: Any) -> Secret:
    """The key for a call by `user` (None: the schedule). Raises DecryptError, ConfigurationError."""
    if credential is None:
        found = key_from_environment(provider)
        if found is None and needs_key(provider):
            raise NoKeyError("There is no key for this provider that you may use.")
        return found or Secret(api_key=None)
    if not stored_keys_allowed(provider):
        raise ConfigurationError("The environment gives this provider another address; stored keys are not sent there.")
    if credential.origin != credential.provider.origin:
        raise ConfigurationError("The stored key belongs to another address. Enter it again.")
    revealed = credential.reveal(None if user is None else user.pk)
    return Secret(api_key=revealed.api_key or None, headers=revealed.headers)


class NoKeyError(ConfigurationError):
    code = "no_key"


def adapter_for(provider: ProviderEntry, user: Any, model: LLMModel | None, secret: Secret) -> Adapter:
    """Raises ConfigurationError, EgressDeniedError."""
    entry = LLMEntry(
        id=model.pk if model else None,
        name=model.name if model else "",
        provider=provider.slug,
        model=model.model_id if model else "",
        endpoint=provider,
        profile=model.profile if model else {},
    )
    policy = read_rules().policy_for(provider.owner_id, _groups(user))
    return build_adapter(entry, provider, secret, policy=policy, transport=shared_transport())


def any_model(provider: Provider, user: Any) -> str:
    """A model to ask where the provider has no list."""
    rows = LLMModel.objects.usable_by(user).filter(provider=provider).order_by("name")
    return rows.values_list("model_id", flat=True).first() or ""


def _note_key(credential: Credential, failure: LLMError | None) -> None:
    state = credential.state
    if isinstance(failure, AuthenticationError):
        state = CredentialState.REJECTED
    elif failure is None and state == CredentialState.REJECTED:
        state = CredentialState.OK
    credential.last_error = "" if failure is None else str(failure)[:300]
    credential.last_used_at = timezone.now()
    fields = {"last_error", "last_used_at"}
    if state != credential.state:
        credential.state = state
        fields |= {"state", "updated_at"}
    credential.save(update_fields=fields)


def as_shown(report: ConnectionReport, failure: LLMError | None, user: Any, *, wait: bool = True) -> ConnectionReport:
    """What an ordinary user reads: one error for every address that does not answer as it should.

    Else a test of `http://10.0.0.5:5432` would tell whether something listens there. Without `wait` the caller sees to
    the time that it takes.
    """
    vague = EgressDeniedError | UpstreamConnectionError | UpstreamProtocolError
    if user.is_superuser or not isinstance(failure, vague):
        return report
    if wait:
        time.sleep(max(0.0, FLOOR_S - report.latency_ms / 1000))
    steps = tuple(step if step.ok else replace(step, detail=_UNREACHABLE, latency_ms=0) for step in report.tried)
    error = ProbeError(code=UpstreamConnectionError.code, message=_UNREACHABLE)
    return replace(report, latency_ms=max(report.latency_ms, int(FLOOR_S * 1000)), tried=steps, error=error)


def as_shown_error(failure: LLMError, user: Any) -> str:
    """A failure's words for this person: the same for every address that does not answer as it should."""
    vague = isinstance(failure, EgressDeniedError | UpstreamConnectionError | UpstreamProtocolError)
    return _UNREACHABLE if vague and not user.is_superuser else str(failure)


def _refused(provider: Provider, user: Any, error: ProbeError, address: str | None) -> ConnectionReport:
    report = ConnectionReport(ok=False, latency_ms=0, error=error)
    _audit(user, provider, report, address)
    return report


def _audit(user: Any, row: Any, report: ConnectionReport, address: str | None) -> None:
    audit.record(user, "test", row, None, {"outcome": report.outcome, "latency_ms": report.latency_ms}, address)


def error_of(error: LLMError) -> ProbeError:
    return ProbeError(code=error.code, message=str(error), upstream_status=error.upstream_status)


def _origin(config: Mapping[str, Any]) -> str:
    try:
        return origin_of(str(config.get("base_url") or "")) if config.get("base_url") else ""
    except LLMError:
        return "(unreadable)"


def _ms(started: float) -> int:
    return round((time.monotonic() - started) * 1000)
