"""Makes the measured hub's rows: a provider with a stored key, a priced model, limits, a budget. Prints a token.

python -m benchmarks.hub_rows UPSTREAM_URL
"""

from __future__ import annotations

import os
import sys
from decimal import Decimal

import django


def main(upstream_url: str) -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "llmhub.settings")
    django.setup()
    from registry.models import AccessToken, Budget, Credential, EndpointPolicy, LLMModel, ModelPrice, Provider, User

    user, made = User.objects.get_or_create(username="bench")
    if made:
        EndpointPolicy(target="127.0.0.0/8", audience="all", note="benchmark").save()
        provider = Provider(slug="bench", name="Bench", adapter="openai_compatible", base_url=f"{upstream_url}/v1")
        provider.full_clean()
        provider.save()
        Credential(provider=provider, label="bench").set_secret("sk-bench-0123456789abcdef0123456789abcdef")
        for name in ("bench-model", "bench-open"):
            model = LLMModel(provider=provider, name=name, model_id=name)
            model.full_clean()
            model.save()
            ModelPrice.objects.create(model=model, input_per_1m=Decimal("2.5"), output_per_1m=Decimal("10"))
        for owner in ({"user": user}, {"model": LLMModel.objects.get(name="bench-model")}):
            Budget.objects.create(**owner, amount=Decimal(100_000))
    _, token = AccessToken.mint(
        owner=user,
        name="bench",
        requests_per_minute=100_000_000,
        tokens_per_minute=1_000_000_000,
        concurrency=100_000,
    )
    print(token)


if __name__ == "__main__":
    main(sys.argv[1])
