"""Model lists in OpenAI's shape and its supersets (OpenRouter, Mistral, Groq, vLLM, Hugging Face, Together)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

from adapters.errors import UpstreamProtocolError
from adapters.openai_usage import read_count, read_money
from adapters.types import ModelPage, RemoteModel

__all__ = ["parse_model_page"]

_MILLION = Decimal(1_000_000)
# OpenRouter's names for a price per token, ours per million.
_TOKEN_PRICES = {
    "prompt": "input",
    "completion": "output",
    "input_cache_read": "cache_read",
    "input_cache_write": "cache_write",
    "internal_reasoning": "reasoning",
}
_MISTRAL_CAPABILITIES = {"function_calling": "tools", "vision": "vision", "completion_chat": "chat", "audio": "audio"}


def parse_model_page(body: Any) -> ModelPage:
    """Read one page: `{"data": [...]}`, or Together's bare list. Rows without an id are passed over."""
    rows = body.get("data") if isinstance(body, dict) else body
    if rows is None and isinstance(body, dict):
        rows = body.get("models")
    if not isinstance(rows, list):
        raise UpstreamProtocolError("the provider answered without a list of models")
    links = body.get("links") if isinstance(body, dict) else None
    following = links.get("next") if isinstance(links, dict) else None
    models = tuple(_read_model(row) for row in rows if isinstance(row, dict) and _text(row.get("id")))
    return ModelPage(models=models, next_cursor=_text(following))


def _read_model(row: Mapping[str, Any]) -> RemoteModel:
    top = _mapping(row, "top_provider")
    backends = [item for item in _list(row, "providers") if isinstance(item, dict) and item.get("status") == "live"]
    contexts = [row.get(name) for name in ("context_length", "max_model_len", "context_window", "max_context_length")]
    contexts += [top.get("context_length"), _mapping(row, "meta").get("n_ctx_train")]
    contexts += [max((read_count(item.get("context_length")) or 0 for item in backends), default=None)]
    outputs = (top.get("max_completion_tokens"), row.get("max_completion_tokens"), row.get("max_output_tokens"))
    return RemoteModel(
        id=str(row["id"]),
        name=_text(row.get("display_name")) or _text(row.get("name")),
        created=_positive((row.get("created"),)),
        owned_by=_text(row.get("owned_by")) or _text(row.get("organization")),
        context_length=_positive(contexts),
        max_output_tokens=_positive(outputs),
        capabilities=_capabilities(row, backends),
        prices_per_1m=_prices(row, backends),
        retires_on=_retirement(row),
        raw=row,
    )


def _capabilities(row: Mapping[str, Any], backends: list[dict[str, Any]]) -> dict[str, bool]:
    hub = row.get("llmhub")  # another hub knows yes, no and unknown apart
    if isinstance(hub, dict):
        answers = _mapping(hub, "capabilities").items()
        return {name: answer == "yes" for name, answer in answers if answer in ("yes", "no")}
    found: dict[str, bool] = {}
    for name, ours in _MISTRAL_CAPABILITIES.items():
        value = _mapping(row, "capabilities").get(name)
        if isinstance(value, bool):
            found[ours] = value
    parameters = row.get("supported_parameters")
    if isinstance(parameters, list):
        found["tools"] = "tools" in parameters
        found["json"] = "response_format" in parameters or "structured_outputs" in parameters
        found["json_schema"] = "structured_outputs" in parameters
        found["reasoning"] = "reasoning" in parameters or "include_reasoning" in parameters
    architecture = _mapping(row, "architecture")
    inputs, outputs = architecture.get("input_modalities"), architecture.get("output_modalities")
    if isinstance(inputs, list):
        found["vision"] = "image" in inputs
        found["audio"] = "audio" in inputs
    if isinstance(outputs, list):
        found["image_output"] = "image" in outputs
    for name, ours in (("supports_tools", "tools"), ("supports_structured_output", "json_schema")):
        said = [item[name] for item in backends if isinstance(item.get(name), bool)]
        if said:
            found[ours] = any(said)
    return found


def _prices(row: Mapping[str, Any], backends: list[dict[str, Any]]) -> dict[str, str]:
    """USD per million tokens. A negative price (OpenRouter: "depends on the route") is no price."""
    pricing = _mapping(row, "pricing")
    prices: dict[str, str] = {}
    for name, ours in _TOKEN_PRICES.items():
        amount = read_money(pricing.get(name))
        if amount is not None:
            prices[ours] = _plain(Decimal(amount) * _MILLION)
    if not prices:
        # Together per million; Hugging Face per million and backend, so it is known only where there is one.
        per_million = pricing if pricing else _mapping(backends[0], "pricing") if len(backends) == 1 else {}
        for name in ("input", "output", "cached_input"):
            amount = read_money(per_million.get(name))
            if amount is not None:
                prices["cache_read" if name == "cached_input" else name] = _plain(Decimal(amount))
    return prices


def _plain(amount: Decimal) -> str:
    return format(amount.normalize(), "f")


def _retirement(row: Mapping[str, Any]) -> str | None:
    for name in ("shutdown_date", "expiration_date", "deprecation"):
        value = _text(row.get(name))
        if value and len(value) >= 10 and value[4] == "-":
            return value[:10]
    return None


def _mapping(row: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = row.get(name)
    return value if isinstance(value, dict) else {}


def _list(row: Mapping[str, Any], name: str) -> list[Any]:
    value = row.get(name)
    return value if isinstance(value, list) else []


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _positive(values: Iterable[Any]) -> int | None:
    return next((count for value in values if (count := read_count(value))), None)
