"""The records, one noun a file. Rows know who may see them; they call nobody."""

from registry.models.access_token import SCOPES, AccessToken
from registry.models.base import RegistryChange
from registry.models.budget import Budget, BudgetLease, BudgetWindow, RateLimit
from registry.models.conversation import Conversation, Experiment, Message, MessageRole, Vote
from registry.models.credential import Credential, CredentialSecret, CredentialState
from registry.models.llm_model import CAPABILITIES, PRICE_FIELDS, LLMModel, ModelAccess, ModelPrice, QualityTier, Tier
from registry.models.operations import (
    Audience,
    AuditEvent,
    DiscoveryChange,
    DiscoveryRun,
    EndpointPolicy,
    RuntimeRegistration,
)
from registry.models.preset import Preset, PresetEntry, PromptPack, Route, RouteEntry, RouteStrategy
from registry.models.provider import AuthType, HealthCheck, HealthState, Provider
from registry.models.usage import (
    CostStatus,
    CredentialScope,
    UsageAttempt,
    UsageDay,
    UsageRecord,
    UsageRollup,
    UsageSource,
    UsageState,
)
from registry.models.user import KeyPolicy, User, UserSettings

__all__ = [
    "CAPABILITIES",
    "PRICE_FIELDS",
    "SCOPES",
    "AccessToken",
    "Audience",
    "AuditEvent",
    "AuthType",
    "Budget",
    "BudgetLease",
    "BudgetWindow",
    "Conversation",
    "CostStatus",
    "Credential",
    "CredentialScope",
    "CredentialSecret",
    "CredentialState",
    "DiscoveryChange",
    "DiscoveryRun",
    "EndpointPolicy",
    "Experiment",
    "HealthCheck",
    "HealthState",
    "KeyPolicy",
    "LLMModel",
    "Message",
    "MessageRole",
    "ModelAccess",
    "ModelPrice",
    "Preset",
    "PresetEntry",
    "PromptPack",
    "Provider",
    "QualityTier",
    "RateLimit",
    "RegistryChange",
    "Route",
    "RouteEntry",
    "RouteStrategy",
    "RuntimeRegistration",
    "Tier",
    "UsageAttempt",
    "UsageDay",
    "UsageRecord",
    "UsageRollup",
    "UsageSource",
    "UsageState",
    "User",
    "UserSettings",
    "Vote",
]
