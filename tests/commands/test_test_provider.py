"""test_provider: steps on standard output, and an exit code that a script can trust."""

from __future__ import annotations

import io
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from registry.models import Credential, EndpointPolicy, LLMModel, Provider
from tests.upstream import Upstream, json_answer

KEY = "sk-PLANTED-command-0123456789"


def run(*arguments: str) -> str:
    out = io.StringIO()
    call_command("test_provider", *arguments, stdout=out)
    return out.getvalue()


def test_the_stub_works_and_a_model_is_asked_by_name(admin: Any) -> None:
    provider = Provider.objects.create(slug="stub", name="Stub", adapter="stub", auth_type="none")
    LLMModel.objects.create(provider=provider, model_id="stub", name="stub-echo")
    assert "stub works" in run("stub")
    assert "chat: ok" in run("stub", "--model", "stub-echo")


def test_a_refusal_ends_with_1_and_names_no_key(admin: Any) -> None:
    EndpointPolicy.objects.create(target="127.0.0.0/8")
    with Upstream() as upstream:
        upstream.on("GET", "/v1/models", json_answer({"error": {"message": f"bad key {KEY}"}}, status=401))
        address = f"{upstream.base_url}/v1"
        provider = Provider.objects.create(slug="local", name="Local", adapter="openai", base_url=address)
        Credential(provider=provider).set_secret(KEY)
        with pytest.raises(CommandError, match="does not work") as caught:
            run("local")
    assert caught.value.returncode == 1 and "401" in str(caught.value) and "PLANTED" not in str(caught.value)


@pytest.mark.parametrize("arguments", [("nothing",), ("stub", "--model", "none"), ("stub", "--user", "nobody")])
def test_unknown_names_are_refused(admin: Any, arguments: tuple[str, ...]) -> None:
    Provider.objects.create(slug="stub", name="Stub", adapter="stub", auth_type="none")
    with pytest.raises(CommandError):
        run(*arguments)
