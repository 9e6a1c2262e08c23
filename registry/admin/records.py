"""Imports every page, which registers it. Loaded once by HubAdminConfig, after the site itself is made."""

from registry.admin import (
    access_token,
    budget,
    conversation,
    credential,
    llm_model,
    operations,
    preset,
    provider,
    usage,
    user,
)

__all__ = [
    "access_token",
    "budget",
    "conversation",
    "credential",
    "llm_model",
    "operations",
    "preset",
    "provider",
    "usage",
    "user",
]
