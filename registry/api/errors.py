"""The one error shape of the REST face: {"error": {type, message, param?, code?, fields?, request_id}}."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, Final

from django.core.exceptions import PermissionDenied as DjangoPermissionDenied
from django.core.exceptions import RequestDataTooBig, TooManyFieldsSent
from django.core.exceptions import ValidationError as DjangoValidationError
from django.db import DataError, IntegrityError, InterfaceError, OperationalError
from django.http import Http404, HttpRequest, JsonResponse
from django.urls import Resolver404, resolve
from django.views.decorators.csrf import csrf_exempt
from rest_framework import exceptions, serializers
from rest_framework.response import Response

from adapters.errors import ConfigurationError
from registry.access.request_ids import request_id_of
from registry.vault.keyring import DecryptError

log = logging.getLogger("llmhub.api")

_TYPES: Final[Mapping[int, str]] = {
    400: "invalid_request",
    401: "authentication_error",
    403: "permission_denied",
    404: "not_found",
    405: "method_not_allowed",
    406: "not_acceptable",
    409: "conflict",
    413: "body_too_large",
    415: "unsupported_media_type",
    429: "rate_limited",
    502: "upstream_error",
    503: "unavailable",
}


class Conflict(exceptions.APIException):
    status_code = 409
    default_detail = "Another row stands in the way: a name is taken, or the row is in use."
    default_code = "conflict"


class Unavailable(exceptions.APIException):
    status_code = 503
    default_detail = "The database can't be reached now. Try again in a moment."
    default_code = "unavailable"


class ErrorDetailSerializer(serializers.Serializer[Any]):
    """What went wrong. `fields` holds texts by field name, `param` the first of them."""

    type = serializers.CharField()
    message = serializers.CharField()
    param = serializers.CharField(required=False)
    code = serializers.CharField(required=False)
    fields = serializers.DictField(  # type: ignore[assignment]  # the contract's name, which DRF uses for a property
        child=serializers.ListField(child=serializers.CharField()), required=False
    )
    request_id = serializers.CharField()


class ErrorSerializer(serializers.Serializer[Any]):
    error = ErrorDetailSerializer()


def exception_handler(exc: Exception, context: dict[str, Any]) -> Response:
    """Answer every exception in one shape; what nobody foresaw is logged and becomes a 500 that tells nothing."""
    request_id = request_id_of(getattr(context.get("request"), "_request", None))
    known = _as_api_exception(exc)
    if known is None:
        log.error("Unforeseen error in the API, request %s", request_id, exc_info=exc)
        body = {"type": "internal_error", "message": "Something went wrong in the hub.", "request_id": request_id}
        return Response({"error": body}, status=500)
    headers = {}
    if getattr(known, "auth_header", None):
        headers["WWW-Authenticate"] = known.auth_header  # type: ignore[attr-defined]  # set by DRF's handle_exception
    if known.status_code == 503:
        headers["Retry-After"] = "2"
    return Response({"error": {**_body(known), "request_id": request_id}}, status=known.status_code, headers=headers)


def _as_api_exception(exc: Exception) -> exceptions.APIException | None:
    if isinstance(exc, exceptions.APIException):
        return exc
    if isinstance(exc, Http404):
        return exceptions.NotFound()
    if isinstance(exc, DjangoPermissionDenied):
        return exceptions.PermissionDenied()
    if isinstance(exc, DjangoValidationError):
        return exceptions.ValidationError(serializers.as_serializer_error(exc))
    if isinstance(exc, RequestDataTooBig | TooManyFieldsSent):
        too_large = exceptions.APIException("The body is too large.", code="body_too_large")
        too_large.status_code = 413
        return too_large
    if isinstance(exc, DataError | OverflowError):
        return exceptions.ValidationError("A value does not fit its column.")
    if isinstance(exc, IntegrityError):
        return Conflict()
    if isinstance(exc, OperationalError | InterfaceError):
        return Unavailable()
    if isinstance(exc, ConfigurationError):
        return exceptions.ValidationError({exc.param or "non_field_errors": [str(exc)]})
    if isinstance(exc, DecryptError):
        return Conflict("The stored key can't be opened. Enter it again.", code="key_unreadable")
    return None


def _body(exc: exceptions.APIException) -> dict[str, Any]:
    body: dict[str, Any] = {"type": _TYPES.get(exc.status_code, "error")}
    if not isinstance(exc, exceptions.ValidationError):
        detail: Any = exc.detail
        body["message"] = str(detail.get("detail", detail) if isinstance(detail, dict) else detail)
        code = str(getattr(detail, "code", "") or exc.default_code)
        return body | ({"code": code} if code not in ("", "error", body["type"]) else {})
    fields = _flat(exc.detail)
    general = fields.pop("", [])
    first = next(iter(fields), "")
    body["message"] = " ".join(general) or f"{first}: {fields[first][0]}"
    if first:
        body |= {"param": first, "fields": fields}
    return body


def _flat(detail: Any, path: str = "") -> dict[str, list[str]]:
    """Nested details as dotted paths; what belongs to no field is under the empty path."""
    if isinstance(detail, dict):
        found: dict[str, list[str]] = {}
        for name, inner in detail.items():
            here = path if name in ("non_field_errors", "__all__") else f"{path}.{name}" if path else str(name)
            for where, texts in _flat(inner, here).items():
                found.setdefault(where, []).extend(texts)
        return found
    if isinstance(detail, list):
        texts = [str(item) for item in detail if isinstance(item, str)]
        found = {path: texts} if texts else {}
        for index, item in enumerate(detail):
            if isinstance(item, dict | list) and item:
                for where, inner_texts in _flat(item, f"{path}.{index}" if path else str(index)).items():
                    found.setdefault(where, []).extend(inner_texts)
        return found
    return {path: [str(detail)]}


@csrf_exempt  # it changes nothing, and a client without a session should read 404, not 403
def not_found(request: HttpRequest, rest: str = "") -> JsonResponse:
    """Any path below /api/ that no route has, in the API's own shape."""
    message = "There is nothing at this path."
    if not rest.endswith("/"):
        try:
            if resolve(f"{request.path}/").func is not not_found:
                message = f"There is nothing at this path; {request.path}/ is a route (with a slash at its end)."
        except Resolver404:
            pass
    body = {"type": "not_found", "message": message, "request_id": request_id_of(request)}
    return JsonResponse({"error": body}, status=404)
