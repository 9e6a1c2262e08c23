"""The OpenAPI schema, and a page that reads it to people: no script, no outside asset, nothing inline."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.utils import extend_schema
from drf_spectacular.views import SpectacularAPIView
from rest_framework.request import Request
from rest_framework.views import APIView

from registry.api.permissions import Access, DeclaredAccess

_METHODS = ("get", "post", "put", "patch", "delete")


class SchemaView(SpectacularAPIView):
    """OpenAPI 3 of this API."""

    access = Access(read=(), public=True)
    authentication_classes = ()
    permission_classes = (DeclaredAccess,)

    @extend_schema(operation_id="schema", exclude=True)
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Any:
        return super().get(request, *args, **kwargs)  # type: ignore[no-untyped-call]  # the library has no types here


class DocsView(APIView):
    """The schema as a page."""

    access = Access(read=(), public=True)
    authentication_classes = ()

    @extend_schema(exclude=True)
    def get(self, request: Request) -> HttpResponse:
        django_request: HttpRequest = request._request
        return render(
            django_request,
            "api/docs.html",
            {"sections": sections(), "version": settings.SPECTACULAR_SETTINGS["VERSION"]},
        )


@lru_cache(maxsize=1)
def sections() -> list[dict[str, Any]]:
    """Operations by noun, as the page shows them. Built once a process: routes do not change while it runs."""
    schema: dict[str, Any] = SchemaGenerator().get_schema(public=True)  # type: ignore[no-untyped-call]  # the library has no types here
    found: dict[str, list[dict[str, Any]]] = {}
    for path, methods in schema["paths"].items():
        for method in _METHODS:
            if method in methods:
                found.setdefault(_noun(path), []).append(_operation(path, method, methods[method], schema))
    return [{"noun": noun, "operations": found[noun]} for noun in sorted(found)]


def _noun(path: str) -> str:
    parts = [part for part in path.split("/") if part and part != "api"]
    return parts[0] if parts else "api"


def _operation(path: str, method: str, operation: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
    return {
        "path": path,
        "method": method.upper(),
        "about": operation.get("description", ""),
        "parameters": [
            {"name": row["name"], "place": row["in"], "about": row.get("description", "")}
            for row in operation.get("parameters", ())
        ],
        "fields": _fields(body, schema),
        "statuses": sorted(operation.get("responses", {})),
    }


def _fields(body: dict[str, Any], schema: dict[str, Any]) -> list[dict[str, Any]]:
    resolved = _resolve(body, schema)
    required = resolved.get("required", ())
    return [
        {
            "name": name,
            "type": _type(row, schema),
            "required": name in required,
            "about": row.get("description", ""),
        }
        for name, row in resolved.get("properties", {}).items()
        if not row.get("readOnly")
    ]


def _resolve(body: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    reference = body.get("$ref")
    if reference is None:
        return body
    found: dict[str, Any] = schema["components"]["schemas"][reference.rpartition("/")[2]]
    return found


def _type(row: dict[str, Any], schema: dict[str, Any]) -> str:
    inner = (row.get("allOf") or row.get("oneOf") or [row])[0]
    resolved = _resolve(inner, schema)
    if "enum" in resolved:
        return " | ".join(str(value) for value in resolved["enum"])
    return str(resolved.get("type", "any"))
