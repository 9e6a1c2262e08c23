from __future__ import annotations

from django.test import Client


def test_every_answer_carries_an_id_of_the_hubs_own(client: Client) -> None:
    first = client.get("/healthz", headers={"x-request-id": "forged"})
    second = client.get("/nowhere/")
    assert first["x-request-id"].startswith("req_")
    assert len(first["x-request-id"]) == 36
    assert first["x-request-id"] != second["x-request-id"]
