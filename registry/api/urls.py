"""The REST face's paths, all below /api/ (the model-calling routes of /api/llm/ are the lane's)."""

from __future__ import annotations

from django.urls import URLPattern, URLResolver, include, path
from rest_framework.routers import SimpleRouter

from registry.api.errors import not_found
from registry.api.views.access_tokens import TokenViewSet
from registry.api.views.conversations import ConversationViewSet
from registry.api.views.llm import PromptPackView, RecommendView, RegistryView, RuntimeRegisterView, RuntimeView
from registry.api.views.llm_models import ModelViewSet
from registry.api.views.operations import (
    AuditViewSet,
    BudgetViewSet,
    EndpointPolicyViewSet,
    RateLimitViewSet,
    SettingsView,
)
from registry.api.views.providers import CredentialViewSet, ProviderViewSet
from registry.api.views.schema import DocsView, SchemaView
from registry.api.views.shortlists import PresetViewSet, PromptPackViewSet, RouteViewSet
from registry.api.views.usage import UsageViewSet

router = SimpleRouter()
router.register("providers", ProviderViewSet, basename="provider")
router.register("credentials", CredentialViewSet, basename="credential")
router.register("models", ModelViewSet, basename="model")
router.register("tokens", TokenViewSet, basename="token")
router.register("conversations", ConversationViewSet, basename="conversation")
router.register("presets", PresetViewSet, basename="preset")
router.register("routes", RouteViewSet, basename="route")
router.register("prompt-packs", PromptPackViewSet, basename="prompt-pack")
router.register("budgets", BudgetViewSet, basename="budget")
router.register("rate-limits", RateLimitViewSet, basename="rate-limit")
router.register("usage", UsageViewSet, basename="usage")
router.register("endpoint-policies", EndpointPolicyViewSet, basename="endpoint-policy")
router.register("audit", AuditViewSet, basename="audit")

routes: list[URLPattern | URLResolver] = [
    *router.urls,
    path("settings/", SettingsView.as_view({"get": "retrieve", "patch": "partial_update"}), name="settings"),
    path("llm/registry", RegistryView.as_view(), name="llm-registry"),
    path("llm/runtime", RuntimeView.as_view(), name="llm-runtime"),
    path("llm/runtime/register", RuntimeRegisterView.as_view(), name="llm-runtime-register"),
    path("llm/recommend", RecommendView.as_view(), name="llm-recommend"),
    path("llm/prompt-pack/<slug:module>", PromptPackView.as_view(), name="llm-prompt-pack"),
    path("schema/", SchemaView.as_view(), name="schema"),
    path("docs/", DocsView.as_view(), name="docs"),
    path("", not_found),
    path("<path:rest>", not_found),
]

app_name = "api"
urlpatterns: list[URLPattern | URLResolver] = [path("api/", include(routes))]
