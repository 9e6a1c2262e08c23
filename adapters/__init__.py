"""Adapters to language models: `create_adapter("openai", api_key=...)`, then `await adapter.chat("hi")`.

The names below are the public ones; each is imported when first asked for, so that `adapters.types` alone stays cheap.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from adapters.adapter import Adapter, ConnectionReport, OpenStream
    from adapters.create import adapter_from_config, codec_for, create_adapter
    from adapters.egress import EgressPolicy, EgressRule, origin_of
    from adapters.errors import LLMError
    from adapters.httpx_transport import CheckedTransport
    from adapters.kinds import KINDS
    from adapters.transport import Transport
    from adapters.types import ChatRequest, ChatResponse, ChatResult, Message, StreamEvent, Target, Timeouts, Usage

__all__ = [
    "KINDS",
    "Adapter",
    "ChatRequest",
    "ChatResponse",
    "ChatResult",
    "CheckedTransport",
    "ConnectionReport",
    "EgressPolicy",
    "EgressRule",
    "LLMError",
    "Message",
    "OpenStream",
    "StreamEvent",
    "Target",
    "Timeouts",
    "Transport",
    "Usage",
    "adapter_from_config",
    "codec_for",
    "create_adapter",
    "origin_of",
]

_MODULES = {
    "KINDS": "kinds",
    "Adapter": "adapter",
    "CheckedTransport": "httpx_transport",
    "ConnectionReport": "adapter",
    "EgressPolicy": "egress",
    "EgressRule": "egress",
    "LLMError": "errors",
    "OpenStream": "adapter",
    "Transport": "transport",
    "adapter_from_config": "create",
    "codec_for": "create",
    "create_adapter": "create",
    "origin_of": "egress",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'adapters' has no attribute {name!r}")
    return getattr(importlib.import_module(f"adapters.{_MODULES.get(name, 'types')}"), name)
