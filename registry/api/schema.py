"""What the OpenAPI schema says beyond the serializers: the access token, and the errors that every route may give."""

from __future__ import annotations

from typing import Any, Literal

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.openapi import AutoSchema

from registry.api.authentication import AccessTokenAuthentication
from registry.api.errors import ErrorSerializer
from registry.api.permissions import Access

_FAILURES = {
    "400": "The request can't be read, or a field is refused.",
    "401": "No access token or session.",
    "403": "Not allowed: read-only, a missing scope, or for administrators.",
    "404": "There is no such row, or it is not yours.",
}


class AccessTokenScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]  # the library has no types here
    """Describes the token in the schema."""

    target_class = AccessTokenAuthentication
    name = "accessToken"

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, Any]:
        return {"type": "http", "scheme": "bearer", "description": "An access token of the hub (`llmhub_...`)."}


class HubSchema(AutoSchema):
    """Adds the error answers that every route may give."""

    def _get_response_bodies(self, direction: Literal["request", "response"] = "response") -> dict[str, Any]:
        found: dict[str, Any] = super()._get_response_bodies(direction)
        access: Access | None = getattr(self.view, "access", None)
        if direction != "response" or access is None or access.public:
            return found
        for status, meaning in _FAILURES.items():
            if status not in found and (status != "400" or self.method != "DELETE"):
                answer = self._get_response_for_code(ErrorSerializer, status)  # type: ignore[no-untyped-call]  # the library has no types here
                found[status] = {**answer, "description": meaning}
        return found
