"""The records, one noun a file. Rows know who may see them; they call nobody."""

from registry.models.access_token import SCOPES, AccessToken
from registry.models.base import RegistryChange
from registry.models.budget import Budget, BudgetLease, BudgetWindow, RateLimit
from registry.models.conversation import Conversation, Experiment, Message, MessageRole, Vote
from registry.models.credential import Credential, CredentialSecret, CredentialState
from registry.models.invitation import RANKS, Invitation
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
from registry.models.provider import AuthType, HealthCheck, HealthState, Provider, ProviderAccess
from registry.models.usage import (
    CostStatus,
    CredentialScope,
    UsageAttempt,
    UsageDay,
    UsageRecord,
    UsageRollup,
    UsageSlice,
    UsageSource,
    UsageState,
)
from registry.models.user import ADMIN, KeyPolicy, Role, User, UserSettings

__all__ = [
    "ADMIN",
    "CAPABILITIES",
    "PRICE_FIELDS",
    "RANKS",
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
    "Invitation",
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
    "ProviderAccess",
    "QualityTier",
    "RateLimit",
    "RegistryChange",
    "Role",
    "Route",
    "RouteEntry",
    "RouteStrategy",
    "RuntimeRegistration",
    "Tier",
    "UsageAttempt",
    "UsageDay",
    "UsageRecord",
    "UsageRollup",
    "UsageSlice",
    "UsageSource",
    "UsageState",
    "User",
    "UserSettings",
    "Vote",
]
