"""Asks providers which models they have, notes the differences, and applies them when told to.

A run's changes are kept as rows, so that they can be looked at before anything happens. Deletes no model, ever.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.utils import timezone

from adapters import Adapter
from adapters.create import shared_transport
from adapters.errors import LLMError, UnsupportedFeatureError, UpstreamTimeoutError
from adapters.kinds import KINDS
from adapters.loop_thread import run_sync
from adapters.types import RemoteModel
from registry.catalog.endpoints import read_rules
from registry.catalog.entries import LLMEntry
from registry.catalog.from_template import create_model
from registry.catalog.preset_links import link_preset_entries
from registry.catalog.rows import read_providers
from registry.catalog.targets import build_adapter, stored_keys_allowed
from registry.catalog.templates import TEMPLATES, TemplateModel, tier_of_kind
from registry.discovery.probe import choose_credential, secret_of
from registry.discovery.sources import ModelSource, ModelSpec
from registry.models import (
    CAPABILITIES,
    PRICE_FIELDS,
    Credential,
    DiscoveryChange,
    DiscoveryRun,
    LLMModel,
    ModelPrice,
    Provider,
)
from registry.vault.keyring import DecryptError

log = logging.getLogger("llmhub.discovery")

DEADLINE_S: Final = 30.0
SOURCE: Final = "discovery"
OWN: Final = "own sources"
_AT_ONCE: Final = 16
_CUT_AT: Final = 10_000  # the adapter's own limit: a longer list does not show what has vanished
_NO_LIST: Final = "The provider has no list of models."
# The names that adapters give what the hub calls otherwise.
_CAPABILITY_NAMES: Final[Mapping[str, str]] = {"json": "json_mode", "audio": "audio_input", "image_output": "images"}
# Answers of these sources stay: a person's, or measured here. What a provider says does not replace them.
_STRONGER: Final = frozenset({"admin", "user", "api", "registry.json", "overrides", "measured"})


@dataclass(slots=True, kw_only=True)
class ProviderRefresh:
    """How one provider's look went."""

    provider: Provider
    run: DiscoveryRun
    listed: int = 0
    changes: list[DiscoveryChange] = field(default_factory=list)
    applied: int = 0

    @property
    def error(self) -> str:
        return str(self.run.error)


@dataclass(slots=True, kw_only=True)
class _Asked:
    """One provider on its way: its adapter, then its list or why there is none."""

    provider: Provider
    run: DiscoveryRun
    adapter: Adapter | None = None
    models: tuple[RemoteModel, ...] = ()
    failure: LLMError | None = None
    latency_ms: int | None = None


def refresh_providers(
    providers: Iterable[Provider],
    *,
    user: Any = None,
    apply: bool = False,
    enable_new: bool = False,
    deadline_s: float = DEADLINE_S,
) -> list[ProviderRefresh]:
    """Ask all at once, each within `deadline_s`; one that fails does not hide the others. Blocks; raises nothing.

    With `user` their own keys are used as their calls would, without it the shared ones.
    """
    asked = [prepare(provider, user) for provider in providers]
    run_sync(ask_all([one for one in asked if one.adapter is not None], deadline_s))
    found = []
    for one in asked:
        outcome = _note(one)
        if apply and outcome.changes:
            _apply_all(outcome, enable_new)
        found.append(outcome)
    return found


def refresh_sources(
    sources: Sequence[ModelSource], *, apply: bool = False, enable_new: bool = False, deadline_s: float = DEADLINE_S
) -> tuple[list[ProviderRefresh], dict[str, str]]:
    """Ask one's own sources: what they find at registered global providers is new where the hub lacks it.

    Answers the outcomes by provider, and what went wrong by source; a source that is silent about a model says
    nothing about it, so that nothing vanishes by it. A model at a provider that nobody registered is an error.
    """
    errors: dict[str, str] = {}
    found = run_sync(_discover(sources, deadline_s, errors))
    outcomes = []
    for slug in sorted({spec.provider for spec in found}):
        provider = Provider.objects.shared().filter(slug=slug).first()
        specs = {spec.name: spec for spec in found if spec.provider == slug}
        if provider is None:
            errors[slug] = f"Nobody has registered the provider {slug!r}; {len(specs)} models of it were found."
            continue
        run = DiscoveryRun.objects.create(provider=provider, source=OWN, state="done", finished_at=timezone.now())
        outcome = ProviderRefresh(provider=provider, run=run, listed=len(specs))
        known = set(provider.models.filter(owner=None).values_list("model_id", flat=True))
        with transaction.atomic():
            DiscoveryChange.objects.filter(run__provider=provider, run__source=OWN, applied_at__isnull=True).delete()
            outcome.changes = DiscoveryChange.objects.bulk_create(
                DiscoveryChange(run=run, kind="new", upstream_id=name)
                for name in sorted(specs)
                if name not in known and 0 < len(name) <= 200 and name.isprintable()
            )
        if apply and outcome.changes:
            _apply_all(outcome, enable_new)
        outcomes.append(outcome)
    return outcomes, errors


async def _discover(sources: Sequence[ModelSource], deadline_s: float, errors: dict[str, str]) -> list[ModelSpec]:
    async def ask(source: ModelSource) -> Sequence[ModelSpec]:
        try:
            async with asyncio.timeout(deadline_s):
                return await source.discover()
        except Exception as error:  # anybody's source may raise anything; the others are asked all the same
            log.warning("The source %s failed: %s", type(source).__name__, type(error).__name__)
            errors[type(source).__name__] = f"{type(error).__name__}: {error}"[:300]
            return ()

    return [spec for specs in await asyncio.gather(*(ask(source) for source in sources)) for spec in specs]


def _apply_all(outcome: ProviderRefresh, enable_new: bool) -> None:
    """Apply, or say why not: rows that can't be kept at one provider stop no other."""
    try:
        outcome.applied = apply_changes(outcome.run, enable_new=enable_new)
    except (ValidationError, IntegrityError) as error:
        log.warning("What %s lists could not be applied: %s", outcome.provider.slug, error)
        outcome.run.state, outcome.run.error = "failed", "What it lists could not be applied; see the log."
        outcome.run.save(update_fields=["state", "error", "updated_at"])


def prepare(
    provider: Provider, user: Any, *, run: DiscoveryRun | None = None, chosen: Credential | None = None
) -> _Asked:
    """`chosen` is the key to ask with, where somebody chose one."""
    run = run or DiscoveryRun.objects.create(provider=provider, started_by=user, source=SOURCE)
    asked = _Asked(provider=provider, run=run)
    entry = read_providers([provider.pk])[0]
    try:
        if entry.dry_run or entry.kind == "stub":
            raise UnsupportedFeatureError("It calls nobody, so there is nothing to ask.")
        credential = chosen or (_credential(provider, user) if stored_keys_allowed(entry) else None)
        secret = secret_of(credential, entry, user)
        groups = frozenset(user.groups.values_list("pk", flat=True)) if user is not None else frozenset()
        asked.adapter = build_adapter(
            LLMEntry(id=None, name="", provider=provider.slug, model="", endpoint=entry),
            entry,
            secret,
            policy=read_rules().policy_for(provider.owner_id, groups),
            transport=shared_transport(),
        )
    except DecryptError:
        asked.failure = LLMError("The stored key can't be opened with the present encryption keys.")
    except LLMError as error:
        asked.failure = error
    return asked


def _credential(provider: Provider, user: Any) -> Credential | None:
    if user is not None:
        return choose_credential(provider, user)
    rows = Credential.objects.shared().usable().filter(provider=provider).select_related("provider")
    live = [row for row in rows if not row.is_expired]
    return min(live, key=lambda row: (-row.weight, row.label), default=None)


async def ask_all(asked: Sequence[_Asked], deadline_s: float) -> None:
    turns = asyncio.Semaphore(_AT_ONCE)

    async def ask(one: _Asked) -> None:
        assert one.adapter is not None
        async with turns:
            started = asyncio.get_running_loop().time()
            try:
                async with asyncio.timeout(deadline_s):
                    one.models = await one.adapter.list_models()
            except TimeoutError:
                one.failure = UpstreamTimeoutError(f"There was no answer within {deadline_s:g} seconds.")
            except LLMError as error:
                missing = error.upstream_status in (404, 405, 501)
                one.failure = UnsupportedFeatureError(_NO_LIST) if missing else error
            except Exception:  # a list that breaks our own reading hides no other provider's
                log.exception("The model list of %s could not be read.", one.provider.slug)
                one.failure = LLMError("Its list of models could not be read.")
            one.latency_ms = round((asyncio.get_running_loop().time() - started) * 1000)

    await asyncio.gather(*(ask(one) for one in asked))


def _note(asked: _Asked) -> ProviderRefresh:
    """Keep the outcome and the differences. Differences of earlier runs that nobody applied are out of date."""
    run, provider = asked.run, asked.provider
    outcome = ProviderRefresh(provider=provider, run=run, listed=len(asked.models))
    run.finished_at = timezone.now()
    with transaction.atomic():
        if asked.failure is None:
            stale = DiscoveryChange.objects.filter(run__provider=provider, run__source=SOURCE, applied_at__isnull=True)
            stale.delete()
            outcome.changes = DiscoveryChange.objects.bulk_create(compare(run, asked.models))
            run.state = "done"
        else:
            run.state, run.error = "failed", str(asked.failure)[:300]
        run.save(update_fields=["state", "error", "finished_at", "updated_at"])
    if asked.latency_ms is not None and not isinstance(asked.failure, UnsupportedFeatureError):
        count = None if asked.failure else len(asked.models)
        provider.note_health(latency_ms=asked.latency_ms, error=asked.failure, models=count, by=run.started_by)
    return outcome


def compare(run: DiscoveryRun, listed: Sequence[RemoteModel], *, owner: Any = None) -> list[DiscoveryChange]:
    """What differs between the provider's list and the hub's models of it, unsaved, in a stable order.

    With `owner`, that person's own models are compared, and what they may use of everybody's is not new to them.
    """
    provider = run.provider
    assert provider is not None
    known = {_key(provider, row.model_id): row for row in provider.models.filter(owner=owner or provider.owner)}
    usable = set()
    if owner is not None and provider.owner_id is None:
        usable = {_key(provider, row.model_id) for row in LLMModel.objects.usable_by(owner).filter(provider=provider)}
    theirs = {_key(provider, row.id): row for row in listed if 0 < len(row.id) <= 200 and row.id.isprintable()}
    changes = []
    for key, remote in sorted(theirs.items()):
        row = known.get(key)
        if row is None and key in usable:
            continue
        if row is None:
            changes.append(DiscoveryChange(run=run, kind="new", upstream_id=remote.id, after=_said(remote)))
            continue
        before, after = _differences(row, remote)
        if after:
            changes.append(
                DiscoveryChange(
                    run=run, kind="changed", upstream_id=row.model_id, model=row, before=before, after=after
                )
            )
    if _shows_all(provider, listed):
        changes += [
            DiscoveryChange(
                run=run, kind="vanished", upstream_id=row.model_id, model=row, before={"enabled": row.enabled}
            )
            for key, row in sorted(known.items())
            if key not in theirs and row.vanished_at is None
        ]
    return changes


def _key(provider: Provider, model_id: str) -> str:
    """Ollama calls `llama3.2` also `llama3.2:latest`: one model."""
    return model_id.removesuffix(":latest") if provider.adapter == "ollama" else model_id


def _shows_all(provider: Provider, listed: Sequence[RemoteModel]) -> bool:
    """Whether a model that is not in the list is gone.

    Azure lists what could be deployed and not the deployments; an empty list from a vendor is a failure of theirs.
    """
    if provider.adapter == "azure_openai" or len(listed) >= _CUT_AT:
        return False
    return bool(listed) or KINDS[provider.adapter].local


def _said(remote: RemoteModel) -> dict[str, Any]:
    """What the list says of a model, in the hub's names; JSON."""
    said: dict[str, Any] = {
        "context_length": _count(remote.context_length),
        "max_output_tokens": _count(remote.max_output_tokens),
        "retires_on": _date(remote.retires_on),
        "capabilities": _capabilities(remote),
        "prices": _prices(remote),
        "display_name": _printable(remote.name) if remote.name != remote.id else "",
    }
    return {name: value for name, value in said.items() if value}


def _differences(row: LLMModel, remote: RemoteModel) -> tuple[dict[str, Any], dict[str, Any]]:
    """What the list says otherwise than the row, before and after."""
    said = _said(remote)
    said.pop("display_name", None)
    before: dict[str, Any] = {}
    after: dict[str, Any] = {}
    for name in ("context_length", "max_output_tokens", "retires_on"):
        present = getattr(row, name)
        present = present.isoformat() if isinstance(present, dt.date) else present
        if name in said and said[name] != present:
            before[name], after[name] = present, said[name]
    answers = {
        name: value
        for name, value in said.get("capabilities", {}).items()
        if row.capability(name) != value and row.capabilities.get(name, {}).get("source") not in _STRONGER
    }
    if answers:
        before["capabilities"] = {name: row.capability(name) for name in answers}
        after["capabilities"] = answers
    price = row.price_at()
    if "prices" in said and (price is None or price.source not in _STRONGER):
        known = {name: _amount(getattr(price, name)) if price else None for name in said["prices"]}
        if known != said["prices"]:
            before["prices"], after["prices"] = known, said["prices"]
    if row.vanished_at is not None:
        before["vanished"], after["vanished"] = True, False
    return before, after


def _capabilities(remote: RemoteModel) -> dict[str, str]:
    named = {_CAPABILITY_NAMES.get(name, name): value for name, value in remote.capabilities.items()}
    return {name: "yes" if value else "no" for name, value in sorted(named.items()) if name in CAPABILITIES}


def _prices(remote: RemoteModel) -> dict[str, str]:
    found = {}
    for kind, text in sorted(remote.prices_per_1m.items()):
        name = kind if kind in PRICE_FIELDS else f"{kind}_per_1m"
        amount = _decimal(text)
        if name in PRICE_FIELDS and amount is not None:
            found[name] = f"{amount.normalize():f}"
    return found


def _decimal(text: str) -> Decimal | None:
    """As the price column holds it; None for what it can't."""
    try:
        amount = Decimal(text).quantize(Decimal("0.000001"))
    except InvalidOperation:
        return None
    return amount if 0 <= amount < 10**8 else None


def _amount(value: Decimal | None) -> str | None:
    return None if value is None else f"{value.normalize():f}"


def _count(value: int | None) -> int | None:
    """None for what no column holds."""
    return value if value is not None and 0 < value < 2**31 else None


def _printable(text: str | None) -> str:
    return "".join(character for character in text or "" if character.isprintable())[:200]


def _date(text: str | None) -> str | None:
    try:
        return dt.date.fromisoformat(text).isoformat() if text else None
    except ValueError:
        return None


def apply_changes(run: DiscoveryRun, *, enable_new: bool = False, changes: Iterable[Any] | None = None) -> int:
    """Apply a run's changes (or those of it that are given by id) in one transaction; answers how many.

    New models come disabled unless `enable_new`; a vanished model is disabled and says since when.
    """
    with transaction.atomic():
        rows = DiscoveryChange.objects.select_for_update().filter(run=run, applied_at__isnull=True)
        if changes is not None:
            rows = rows.filter(pk__in=list(changes))
        applied = 0
        for change in rows.order_by("kind", "upstream_id"):
            apply_change(run, change, enable_new)
            change.applied_at = timezone.now()
            change.save(update_fields=["model", "applied_at", "updated_at"])
            applied += 1
        link_preset_entries()
    return applied


def apply_change(run: DiscoveryRun, change: DiscoveryChange, enable_new: bool, owner: Any = None) -> None:
    provider = run.provider
    assert provider is not None
    if change.kind == "new":
        row = provider.models.filter(owner=owner or provider.owner, model_id=change.upstream_id).first()
        row = row or create_model(provider, _template_row(provider, change), enabled=enable_new, owner=owner)
        change.model = row
        _take(row, change.after)
    elif change.model is not None and change.kind == "changed":
        _take(change.model, change.after)
    elif change.model is not None:
        change.model.enabled = False
        change.model.vanished_at = timezone.now()
        change.model.save(update_fields=["enabled", "vanished_at", "updated_at"])


def _template_row(provider: Provider, change: DiscoveryChange) -> TemplateModel:
    """What the templates know of this model, else its name alone."""
    for template in TEMPLATES.values():
        if template.kind == provider.adapter:
            found = next((row for row in template.models if row.model_id == change.upstream_id), None)
            if found is not None:
                return found
    tier = tier_of_kind(provider.adapter)
    shown = str(change.after.get("display_name", ""))
    return TemplateModel(model_id=change.upstream_id, tier=tier, yes=(), description=shown)


def _take(row: LLMModel, after: Mapping[str, Any]) -> None:
    """Give the row what the list said."""
    for name in ("context_length", "max_output_tokens"):
        if name in after:
            setattr(row, name, after[name])
    if "retires_on" in after:
        row.retires_on = dt.date.fromisoformat(after["retires_on"])
    for name, value in after.get("capabilities", {}).items():
        row.set_capability(name, value, source=SOURCE)
    if after.get("vanished") is False:
        row.vanished_at, row.enabled = None, True
    row.full_clean()
    row.save()
    prices = {name: Decimal(text) for name, text in after.get("prices", {}).items()}
    present = row.price_at()
    if prices and (present is None or any(getattr(present, name) != amount for name, amount in prices.items())):
        ModelPrice.objects.create(model=row, source=SOURCE, **prices)
