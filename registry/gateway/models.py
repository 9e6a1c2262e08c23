"""GET /v1/models and /v1/models/{id}: what the caller may use.

In OpenAI's shape with OpenRouter's additions; in Anthropic's for a client that sends `anthropic-version`.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from adapters.errors import InvalidRequestError
from registry.access.principals import Principal
from registry.catalog.entries import LLMEntry
from registry.gateway.http import Answer, Request
from registry.gateway.worker import Worker
from registry.routing.refusal import NoCandidateError, refusal
from registry.routing.resolve import Ask, Dropped, Resolution

_MILLION = Decimal(1_000_000)
_PRICES = {
    "prompt": "input_per_1m",
    "completion": "output_per_1m",
    "input_cache_read": "cache_read_per_1m",
    "input_cache_write": "cache_write_per_1m",
    "internal_reasoning": "reasoning_per_1m",
}
_PARAMETER_OF = {
    "tools": ("tools", "tool_choice"),
    "json_mode": ("response_format",),
    "json_schema": ("structured_outputs",),
    "reasoning": ("reasoning", "reasoning_effort"),
}


async def list_models(worker: Worker, request: Request, answer: Answer) -> None:
    principal = await worker.authenticate(request, "models")
    await worker.catch_up()  # somebody who has just added a model looks here first
    entries = worker.snapshot.active(principal.user_id)
    usable = sorted((entry for entry in entries if principal.may_use(entry)), key=lambda entry: entry.name)
    if "anthropic-version" in request.headers:
        await answer.json(200, _anthropic_page(usable, request.query))
        return
    await answer.json(200, {"object": "list", "data": [encode_model(entry) for entry in usable]})


async def show_model(worker: Worker, request: Request, answer: Answer) -> None:
    principal = await worker.authenticate(request, "models")
    name = request.path.removeprefix("/v1/models/")
    encode = encode_anthropic_model if "anthropic-version" in request.headers else encode_model
    await answer.json(200, encode(await find_model(worker, principal, name)))


async def find_model(worker: Worker, principal: Principal, name: str) -> LLMEntry:
    """The model a caller means by `name`. Raises NoCandidateError (404)."""
    for caught_up in (False, True):
        if caught_up:
            await worker.catch_up()
        named = worker.snapshot.named(name, principal.user_id)
        by_id = worker.snapshot.by_id(name)
        for entry in (*named, *([by_id] if by_id else [])):
            if entry.is_active and principal.may_use(entry):
                return entry
    dropped = Dropped(name=name, code="not_found", reason=f"There is no model {name!r} that you may use.")
    error: NoCandidateError = refusal(Resolution(candidates=(), dropped=(dropped,)), Ask(model=name))
    raise error


def encode_model(entry: LLMEntry) -> dict[str, Any]:
    """One row of the list. Prices are USD per token as decimal text, the way OpenRouter gives them."""
    takes = ["text", "image"] if entry.capability("vision") == "yes" else ["text"]
    gives = "image" if entry.capability("images") == "yes" else "text"
    body: dict[str, Any] = {
        "id": entry.name,
        "object": "model",
        "created": entry.created,
        "owned_by": entry.provider,
        "name": entry.name,
        "canonical_slug": f"{entry.provider}/{entry.model}",
        "description": entry.description,
        "context_length": entry.context_length,
        "architecture": {
            "input_modalities": takes,
            "output_modalities": [gives],
            "modality": f"{'+'.join(takes)}->{gives}",
        },
        "pricing": _prices(entry),
        "top_provider": {"context_length": entry.context_length, "max_completion_tokens": entry.max_output_tokens},
        "supported_parameters": _parameters(entry),
        "tier": entry.tier.value,
        "tags": sorted(entry.tags),
        # For another hub that registers this one as its provider: what the fields above can't say.
        "llmhub": {
            "family": entry.family,
            "aliases": list(entry.aliases),
            "quality_tier": entry.quality_tier.value,
            "capabilities": dict(sorted(entry.capabilities.items())),
            "speed_tps": entry.speed_tps,
        },
    }
    if entry.retires_on:
        body["shutdown_date"] = body["expiration_date"] = entry.retires_on.isoformat()
    return body


def encode_anthropic_model(entry: LLMEntry) -> dict[str, Any]:
    created = dt.datetime.fromtimestamp(entry.created, dt.UTC)
    return {
        "type": "model",
        "id": entry.name,
        "display_name": entry.name,
        "created_at": created.isoformat().replace("+00:00", "Z"),
        "max_input_tokens": entry.context_length,
        "max_tokens": entry.max_output_tokens,
    }


def _anthropic_page(entries: list[LLMEntry], query: Mapping[str, str]) -> dict[str, Any]:
    """One page of Anthropic's list: `limit`, and `after_id` or `before_id`. Raises InvalidRequestError."""
    limit = _limit(query.get("limit", "20"))
    names = [entry.name for entry in entries]
    if before := query.get("before_id"):
        end = _position(names, before, "before_id")
        start = max(0, end - limit)
        more = start > 0
    else:
        after = query.get("after_id")
        start = _position(names, after, "after_id") + 1 if after else 0
        end = start + limit
        more = end < len(entries)
    page = [encode_anthropic_model(entry) for entry in entries[start:end]]
    first, last = (page[0]["id"], page[-1]["id"]) if page else (None, None)
    return {"data": page, "has_more": more, "first_id": first, "last_id": last}


def _limit(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 6 and 1 <= int(text) <= 1000):
        raise InvalidRequestError("limit: must be a whole number from 1 to 1000.", param="limit")
    return int(text)


def _position(names: list[str], name: str, param: str) -> int:
    if name not in names:
        raise InvalidRequestError(f"{param}: there is no such model in your list.", param=param)
    return names.index(name)


def _prices(entry: LLMEntry) -> dict[str, str]:
    price = entry.price_at()
    if price is None:
        return {}
    return {
        name: f"{(price.rates[rate] / _MILLION).normalize():f}" for name, rate in _PRICES.items() if rate in price.rates
    }


def _parameters(entry: LLMEntry) -> list[str]:
    known = set(entry.known_params)
    for capability, names in _PARAMETER_OF.items():
        if entry.capability(capability) == "yes":
            known.update(names)
    return sorted(known)
