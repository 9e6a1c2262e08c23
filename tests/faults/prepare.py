"""Makes what a hub under faults needs, in its own process and database: `python -m tests.faults.prepare BASE_URL`.

Prints the token of a fresh user, who may call `served-model` at BASE_URL (2 USD in, 8 USD out per million tokens).
"""

from __future__ import annotations

import sys

import django

INPUT_PER_1M, OUTPUT_PER_1M = 2, 8


def prepare(base_url: str) -> str:
    from django.core.management import call_command

    from registry.models import AccessToken, Credential, EndpointPolicy, LLMModel, ModelPrice, Provider, User

    call_command("migrate", verbosity=0)
    EndpointPolicy(target="127.0.0.0/8", audience="all", note="faults").save()
    provider = Provider(slug="loop", name="Loop", adapter="openai_compatible", base_url=f"{base_url}/v1", timeout_s=20)
    provider.save()
    Credential(provider=provider).set_secret("sk-planted-key-of-the-faults")
    model = LLMModel.objects.create(provider=provider, name="served-model", model_id="served")
    ModelPrice.objects.create(model=model, input_per_1m=INPUT_PER_1M, output_per_1m=OUTPUT_PER_1M)
    user = User.objects.create_user(username="dora", password="a-long-password-1")
    token: str = AccessToken.mint(owner=user, name="faults")[1]
    return token


if __name__ == "__main__":
    django.setup()
    print(prepare(sys.argv[1]))
