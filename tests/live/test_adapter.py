"""The llama.cpp adapter against llama.cpp itself, without Django."""

from __future__ import annotations

import pytest

from adapters import create_adapter
from adapters.types import TextDelta
from tests.live.conftest import LlamaServer

pytestmark = pytest.mark.live


async def test_chat_gives_the_reply_and_the_servers_own_count(llama_server: LlamaServer) -> None:
    adapter = create_adapter("llamacpp", base_url=llama_server.base_url, model=llama_server.model)
    result = await adapter.chat("Say something.", max_tokens=8, temperature=0)
    assert result.status == 200
    assert len(result.reply.split()) == 8
    assert result.usage.output_tokens == 8


async def test_a_stream_says_what_chat_says(llama_server: LlamaServer) -> None:
    adapter = create_adapter("llamacpp", base_url=llama_server.base_url, model=llama_server.model)
    whole = await adapter.chat("Say something.", max_tokens=8, temperature=0)
    stream = adapter.stream("Say something.", max_tokens=8, temperature=0)
    said = "".join([event.text async for event in stream if isinstance(event, TextDelta)])
    assert said == whole.reply


async def test_a_connection_test_lists_the_model(llama_server: LlamaServer) -> None:
    adapter = create_adapter("llamacpp", base_url=llama_server.base_url, model=llama_server.model)
    report = await adapter.test()
    assert (report.ok, report.models) == (True, (llama_server.model,))
