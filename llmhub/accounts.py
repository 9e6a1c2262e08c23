"""How people sign in: django-allauth's settings, and OIDC from the environment. `llmhub.settings` takes all of it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.core.exceptions import ImproperlyConfigured

from llmhub.env import env_bool, env_list, env_secret, env_str

# What of allauth is needed and no more: each app costs start time. Social sign-in knows OIDC alone.
ACCOUNT_APPS = ["allauth", "allauth.account", "allauth.mfa", "allauth.usersessions", "allauth.socialaccount"]
OIDC_APP = "allauth.socialaccount.providers.openid_connect"

AUTHENTICATION_BACKENDS = ["django.contrib.auth.backends.ModelBackend"]
ACCOUNT_ADAPTER = "registry.web.sign_in.AccountAdapter"
ACCOUNT_LOGIN_METHODS = {"username"}
ACCOUNT_SIGNUP_FIELDS = ["username*", "email", "password1*", "password2*"]
ACCOUNT_EMAIL_VERIFICATION = "none"  # the hub sends no e-mail
ACCOUNT_PRESERVE_USERNAME_CASING = True
ACCOUNT_SESSION_REMEMBER = True
ACCOUNT_REAUTHENTICATION_TIMEOUT = 600
ACCOUNT_FORMS = {"reauthenticate": "registry.web.sign_in.ConfirmForm"}
# Ours count for all workers together (registry/access/rates.py); allauth's would count in each worker's cache.
ACCOUNT_RATE_LIMITS = False

MFA_ADAPTER = "registry.web.second_factor.SecondFactors"
MFA_SUPPORTED_TYPES = ["totp", "webauthn", "recovery_codes"]
MFA_PASSKEY_LOGIN_ENABLED = True
MFA_PASSKEY_SIGNUP_ENABLED = False
MFA_ALLOW_UNVERIFIED_EMAIL = True
MFA_TOTP_ISSUER = "LLM Hub"
MFA_TOTP_TOLERANCE = 1
MFA_RATE_LIMITS = False
MFA_FORMS = {
    "authenticate": "registry.web.second_factor.CodeForm",
    "reauthenticate": "registry.web.second_factor.ConfirmCodeForm",
}
USERSESSIONS_ADAPTER = "registry.web.second_factor.Sessions"
USERSESSIONS_TRACK_ACTIVITY = False  # it would write a row at every request

# Whom a second factor is asked of: nobody by default, "managers" (managers and administrators), "all".
LLMHUB_REQUIRE_MFA = env_str("LLMHUB_REQUIRE_MFA", "nobody").lower()
if LLMHUB_REQUIRE_MFA not in ("nobody", "managers", "all"):
    raise ImproperlyConfigured("LLMHUB_REQUIRE_MFA must be nobody, managers or all.")
LLMHUB_INVITATION_LIFE = timedelta(days=7)

# --- OIDC ----------------------------------------------------------------------------------------------------------

# The issuer's address as its own configuration names it; empty: no such sign-in. It is called by the hub's one way
# out, so that a private one must be opened by LLMHUB_PRIVATE_ENDPOINTS.
LLMHUB_OIDC_ISSUER = env_str("LLMHUB_OIDC_ISSUER").rstrip("/")
LLMHUB_OIDC_CLIENT_ID = env_str("LLMHUB_OIDC_CLIENT_ID")
LLMHUB_OIDC_CLIENT_SECRET = env_secret("LLMHUB_OIDC_CLIENT_SECRET")
LLMHUB_OIDC_NAME = env_str("LLMHUB_OIDC_NAME", "single sign-on")
LLMHUB_OIDC_SCOPES = env_list("LLMHUB_OIDC_SCOPES") or ["openid", "profile", "email"]
# Whoever the issuer knows gets an account at the first sign-in, with this role; otherwise an invitation is needed.
LLMHUB_OIDC_SIGN_UP = env_bool("LLMHUB_OIDC_SIGN_UP", False)
LLMHUB_OIDC_ROLE = env_str("LLMHUB_OIDC_ROLE", "user").lower()
if LLMHUB_OIDC_ROLE not in ("viewer", "user"):
    raise ImproperlyConfigured("LLMHUB_OIDC_ROLE must be viewer or user: others are given by a person.")
if LLMHUB_OIDC_ISSUER and not LLMHUB_OIDC_CLIENT_ID:
    raise ImproperlyConfigured("LLMHUB_OIDC_ISSUER is set, so LLMHUB_OIDC_CLIENT_ID must be set too.")
if LLMHUB_OIDC_ISSUER:
    ACCOUNT_APPS = [*ACCOUNT_APPS, OIDC_APP]

SOCIALACCOUNT_ADAPTER = "registry.web.oidc.OIDCAccounts"
SOCIALACCOUNT_LOGIN_ON_GET = False
SOCIALACCOUNT_STORE_TOKENS = False
SOCIALACCOUNT_EMAIL_AUTHENTICATION = False  # an address alone proves nobody
SOCIALACCOUNT_ONLY = False


def oidc_providers(issuer: str, client_id: str, client_secret: str, name: str, scopes: list[str]) -> dict[str, Any]:
    """allauth's description of the one issuer; empty where there is none."""
    if not issuer:
        return {}
    app = {
        "provider_id": "oidc",
        "name": name,
        "client_id": client_id,
        "secret": client_secret,
        "settings": {"server_url": issuer, "oauth_pkce_enabled": True, "fetch_userinfo": True, "scope": scopes},
    }
    return {"openid_connect": {"APPS": [app]}}


SOCIALACCOUNT_PROVIDERS = oidc_providers(
    LLMHUB_OIDC_ISSUER, LLMHUB_OIDC_CLIENT_ID, LLMHUB_OIDC_CLIENT_SECRET, LLMHUB_OIDC_NAME, LLMHUB_OIDC_SCOPES
)
