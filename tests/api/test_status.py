from __future__ import annotations

import pytest
from django.test import Client


def test_healthz_answers_without_a_database(client: Client) -> None:
    response = client.get("/healthz")
    assert (response.status_code, response.json()) == (200, {"status": "ok"})


@pytest.mark.django_db
def test_readyz_names_every_check(client: Client) -> None:
    response = client.get("/readyz")
    assert response.status_code == 200
    assert response.json()["checks"] == {"database": "ok", "encryption_keys": "ok"}


@pytest.mark.django_db
def test_readyz_fails_without_a_key_ring(client: Client, settings: object) -> None:
    settings.LLMHUB_ENCRYPTION_KEYS = ""  # type: ignore[attr-defined]  # pytest-django's settings take any name
    response = client.get("/readyz")
    assert response.status_code == 503
    assert "LLMHUB_ENCRYPTION_KEYS" in response.json()["checks"]["encryption_keys"]


def test_metrics_are_prometheus_text(client: Client) -> None:
    response = client.get("/metrics")
    assert response.status_code == 200
    assert response["content-type"].startswith("text/plain")


def test_status_pages_refuse_writing_methods(client: Client) -> None:
    assert client.post("/healthz").status_code == 405


def test_every_answer_carries_the_content_security_policy(client: Client) -> None:
    policy = client.get("/healthz")["content-security-policy"]
    assert "script-src 'self'" in policy
    assert "unsafe" not in policy
