"""Discovery for clients of the hub: what there is, adapters announced at run time, prompt packs. Calls no model."""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.db.models import F, Prefetch
from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from adapters.egress import parse_url
from adapters.errors import LLMError
from registry.access import audit
from registry.api.permissions import Access
from registry.api.serializers.llm import (
    PromptPackAnswerSerializer,
    RecommendationListSerializer,
    RecommendSerializer,
    RegistrySerializer,
    RuntimeListSerializer,
    RuntimeSerializer,
)
from registry.api.views.base import address_of
from registry.api.views.queries import check_query
from registry.discovery.diagnostics import ProviderCheck, check_providers
from registry.discovery.recommend import MAX_RANKED, recommend
from registry.models import (
    Credential,
    LLMModel,
    Preset,
    PresetEntry,
    PromptPack,
    Provider,
    RuntimeRegistration,
    UserSettings,
)


class HubView(APIView):
    """A route of /api/llm/."""

    access = Access(read=("models", "manage"))

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        check_query(request)
        super().initial(request, *args, **kwargs)


class RegistryView(HubView):
    @extend_schema(
        operation_id="llm_registry",
        parameters=[OpenApiParameter("diagnostics", description="1 checks each provider now, all at once.")],
        responses=RegistrySerializer,
    )
    def get(self, request: Request) -> Response:
        """Providers and models that the caller sees, with defaults and tags."""
        user: Any = request.user
        models = LLMModel.objects.visible_to(user).order_by("name", "id")
        providers = Provider.objects.visible_to(user).prefetch_related(
            Prefetch("models", queryset=models, to_attr="visible_models")
        )
        keyed = set(Credential.objects.visible_to(user).usable().values_list("provider_id", flat=True))
        diagnostics = request.query_params.get("diagnostics") == "1"
        checked = check_providers(providers, user) if diagnostics else {}
        rows = [_provider(row, keyed, checked.get(row.pk)) for row in providers]
        tags = sorted({tag for row in rows for tag in row["tags"]})
        return Response(RegistrySerializer({"providers": rows, "defaults": _defaults(user), "tags": tags}).data)


def _provider(row: Any, keyed: set[Any], check: ProviderCheck | None) -> dict[str, Any]:
    models = [_model(model) for model in row.visible_models]
    answer = {
        "name": row.name,
        "slug": row.slug,
        "uuid": row.pk,
        "adapter": row.adapter,
        "base": address_without_secrets(row.base_url),
        "models": models,
        "tags": sorted({tag for model in models for tag in model["tags"]}),
        "enabled": row.enabled,
        "has_key": row.pk in keyed,
    }
    if check is not None:
        answer |= {
            "health": row.health_state,
            "health_checked_at": row.health_checked_at,
            "health_latency_ms": row.health_latency_ms,
            "diagnostics": check.as_dict(),
        }
    return answer


def _model(row: LLMModel) -> dict[str, Any]:
    return {
        "id": row.model_id,
        "name": row.name,
        "uuid": row.pk,
        "tags": row.tags,
        "tier": row.tier,
        "quality_tier": row.quality_tier,
        "family": row.family,
        "context_length": row.context_length,
        "max_output_tokens": row.max_output_tokens,
        "capabilities": {name: row.capability(name) for name in sorted(row.capabilities)},
        "enabled": row.enabled,
    }


def address_without_secrets(url: str) -> str:
    """Origin and path; empty for what can't be read, since it may hold anything."""
    if not url:
        return ""
    try:
        parsed = parse_url(url)
    except LLMError:
        return ""
    return f"{url.partition('://')[0].lower()}://{url.partition('://')[2].partition('/')[0]}{parsed.path.rstrip('/')}"


def _defaults(user: Any) -> dict[str, Any]:
    """What answers when nothing names a model: the user's choice, the admins', else the first enabled global model."""
    settings = UserSettings.objects.filter(user=user).select_related("default_model__provider").first()
    usable = LLMModel.objects.usable_by(user).select_related("provider")
    chosen = settings.default_model if settings else None
    model = chosen or usable.filter(owner__isnull=True).order_by("-is_default", "name", "id").first()
    entries = (
        PresetEntry.objects.filter(
            preset__in=Preset.objects.visible_to(user).filter(is_module_default=True, enabled=True)
        )
        .order_by(F("preset__owner").asc(nulls_last=True), "position")
        .values_list("preset__module", "model__name", "model_ref")
    )
    modules: dict[str, list[str]] = {}
    for module, name, reference in entries:
        modules.setdefault(module, []).append(name or reference)
    return {
        "provider": model.provider.slug if model else None,
        "model": model.name if model else None,
        "modules": modules,
    }


class RuntimeView(HubView):
    @extend_schema(operation_id="llm_runtime", responses=RuntimeListSerializer)
    def get(self, request: Request) -> Response:
        """Adapters that are announced now: one's own and everybody's."""
        rows = RuntimeRegistration.objects.visible_to(request.user).filter(expires_at__gt=timezone.now())
        return Response(RuntimeListSerializer({"adapters": rows[:500]}).data)


class RuntimeRegisterView(HubView):
    @extend_schema(operation_id="llm_runtime_register", request=RuntimeSerializer, responses={201: RuntimeSerializer})
    def post(self, request: Request) -> Response:
        """Announce an adapter for `ttl_s` seconds, or renew it."""
        serializer = RuntimeSerializer(data=request.data, context={"request": request, "view": self})
        serializer.is_valid(raise_exception=True)
        with transaction.atomic():
            row = serializer.save()
            audit.record(request.user, "register", row, None, audit.snapshot(row), address_of(request))
        return Response(serializer.data, status=201)


class PromptPackView(HubView):
    @extend_schema(
        operation_id="llm_prompt_pack",
        parameters=[OpenApiParameter("version", int, description="The newest enabled one when left out.")],
        responses=PromptPackAnswerSerializer,
    )
    def get(self, request: Request, module: str) -> Response:
        """A module's templates and schema: one's own pack before everybody's."""
        version = request.query_params.get("version")
        readable = version is None or (version.isascii() and version.isdecimal() and len(version) < 10)
        packs = PromptPack.objects.visible_to(request.user)
        row: Any = packs.of_module(module, None if version is None else int(version)) if readable else None
        if row is None:
            raise NotFound("There is no prompt pack for this module.")
        row.is_global = row.owner_id is None
        return Response(PromptPackAnswerSerializer(row).data)


class RecommendView(HubView):
    access = Access(read=("models", "manage"), write=("models", "manage"))

    @extend_schema(
        operation_id="llm_recommend", request=RecommendSerializer, responses={200: RecommendationListSerializer}
    )
    def post(self, request: Request) -> Response:
        """The best models for a module or a sample prompt that the caller could call now, with reasons. Calls none."""
        serializer = RecommendSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        data = serializer.validated_data
        user: Any = request.user
        ranked = recommend(
            user,
            module=data.get("module", ""),
            prompt=data.get("prompt", ""),
            requirements=data["requirements_read"],
            limit=data.get("limit", MAX_RANKED),
        )
        rows = [{"rank": number, **one.as_dict()} for number, one in enumerate(ranked, 1)]
        return Response({"recommendations": rows})
