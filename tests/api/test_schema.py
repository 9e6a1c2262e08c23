from __future__ import annotations

import re
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.test import Client


def test_the_schema_is_made_without_a_warning() -> None:
    out = StringIO()
    call_command("spectacular", "--fail-on-warn", "--validate", stdout=out, stderr=out)
    assert "/api/models/test-connection/" in out.getvalue()


def test_every_closed_operation_documents_its_errors(client: Client) -> None:
    schema: dict[str, Any] = client.get("/api/schema/?format=json").json()
    for path, methods in schema["paths"].items():
        for method, operation in methods.items():
            if method in ("get", "post", "put", "patch", "delete"):
                assert {"401", "403", "404"} <= operation["responses"].keys(), (method, path)
                body = operation["responses"]["404"]["content"]["application/json"]["schema"]
                assert body == {"$ref": "#/components/schemas/Error"}
    assert schema["components"]["securitySchemes"]["accessToken"]["scheme"] == "bearer"


def test_no_secret_is_in_any_answers_schema(client: Client) -> None:
    components: dict[str, Any] = client.get("/api/schema/?format=json").json()["components"]["schemas"]
    for name, schema in components.items():
        if not name.endswith("Request"):
            assert (
                not {"api_key", "headers", "digest", "ciphertext", "password"} & schema.get("properties", {}).keys()
            ), name


@pytest.mark.parametrize("path", ["/api/docs/", "/api/schema/"])
def test_the_pages_load_nothing_from_elsewhere_and_nothing_inline(client: Client, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 200
    text = answer.content.decode()
    if path == "/api/docs/":
        assert not re.findall(r"<script|<style|style=|\son\w+=|javascript:", text)
        assert all(link.startswith(("/", "#")) for link in re.findall(r'(?:href|src)="([^"]*)"', text))
        assert "/api/models/from-template/" in text
    assert "unsafe" not in answer["content-security-policy"]


@pytest.mark.django_db
def test_the_docs_page_runs_nothing_of_others_and_stays_on_tls(settings: Any) -> None:
    settings.SECURE_HSTS_SECONDS = 3600
    answer = Client().get("/api/docs/", secure=True)
    assert answer.status_code == 200
    assert answer["Strict-Transport-Security"].startswith("max-age=3600")
    assert "default-src 'self'" in answer["Content-Security-Policy"]
    assert answer["X-Content-Type-Options"] == "nosniff" and answer["X-Frame-Options"] == "DENY"
