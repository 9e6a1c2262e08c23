"""A real LLM server behind a real hub: register it, test it, chat through it whole and streamed, see what it used."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import openai
import pytest

from registry.models import UsageRecord, User
from tests.gateway.conftest import Hub, clean, make_someone, open_loopback, start_hub, stop_hub, usage_of
from tests.live.conftest import LlamaServer

pytestmark = pytest.mark.live


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory, django_db_setup: None, django_db_blocker: Any) -> Iterator[Hub]:
    with django_db_blocker.unblock():
        clean()
        running = start_hub(tmp_path_factory.mktemp("hub"))
        try:
            yield running
        finally:
            stop_hub(running)
            clean()


@pytest.fixture
def db(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """In place of pytest-django's: rows are committed, because other processes must see them."""
    with django_db_blocker.unblock():
        yield


def test_register_test_chat_stream_and_usage(hub: Hub, db: None, llama_server: LlamaServer) -> None:
    open_loopback()
    ada = make_someone("ada", scopes=["chat", "models", "usage", "manage"])
    User.objects.filter(pk=ada.user.pk).update(is_superuser=True, is_staff=True)
    with hub.client(ada.token) as client:
        provider = client.post(
            "/api/providers/",
            json={
                "name": "Llama box",
                "slug": "llama-box",
                "adapter": "llamacpp",
                "base_url": llama_server.base_url,
                "auth_type": "none",
                "is_global": True,
            },
        )
        assert provider.status_code == 201, provider.text
        prices = {"input_per_1m": "1.00", "output_per_1m": "2.00"}
        model = client.post(
            "/api/models/",
            json={
                "provider": "llama-box",
                "model_id": llama_server.model,
                "name": "tiny",
                "tier": "local",
                "prices": prices,
            },
        )
        assert model.status_code == 201, model.text
        tested = client.post("/api/models/test-connection/", json={"provider": "llama-box"})
        assert tested.status_code == 200 and tested.json()["ok"] is True, tested.text
        assert llama_server.model in tested.json()["models"]
        assert "tiny" in client.get("/v1/models").text
    with openai.OpenAI(base_url=f"{hub.base_url}/v1", api_key=ada.token, max_retries=0, timeout=60) as sdk:
        whole = sdk.chat.completions.create(
            model="tiny", messages=[{"role": "user", "content": "Say something."}], max_tokens=8
        )
        pieces = list(
            sdk.chat.completions.create(
                model="tiny",
                messages=[{"role": "user", "content": "Say something."}],
                max_tokens=8,
                stream=True,
                stream_options={"include_usage": True},
            )
        )
    assert whole.usage is not None and whole.usage.completion_tokens > 0
    row = usage_of(whole.id.removeprefix("chatcmpl-"))
    assert (row.state, row.usage_source, row.cost_status) == ("ok", "provider", "exact")
    expected = (whole.usage.prompt_tokens + 2 * whole.usage.completion_tokens) / 1_000_000
    assert float(row.cost or 0) == pytest.approx(expected)
    assert pieces
    # This server ignores include_usage: what it did not say is estimated, and the row says so.
    streamed = usage_of(pieces[0].id.removeprefix("chatcmpl-"))
    assert streamed.state in ("ok", "ok_estimated")
    assert streamed.input_tokens and streamed.cost
    assert UsageRecord.objects.count() == 2
    with hub.client(ada.token) as client:
        listed = client.get("/api/usage/").json()["results"]
    assert {item["request_id"] for item in listed} == {row.request_id, streamed.request_id}
