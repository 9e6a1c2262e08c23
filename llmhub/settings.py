"""All of the hub's configuration, read from the environment once. Writes nothing: `manage.py prepare` does."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Any

from csp.constants import NONE, SELF
from django.core.exceptions import ImproperlyConfigured

from llmhub.accounts import *  # noqa: F403  # how people sign in
from llmhub.accounts import ACCOUNT_APPS
from llmhub.databases import build_database
from llmhub.env import env_bool, env_int, env_list, env_path, env_secret, env_str
from llmhub.logs import FORMATS, LEVELS, build_logging

VERSION = "0.1.0"
BASE_DIR = Path(__file__).resolve().parent.parent
DATA_DIR = env_path("LLMHUB_DATA_DIR", BASE_DIR / "var")
MIB = 1024 * 1024

# --- The hub -----------------------------------------------------------------------------------------------------

SECRET_KEY_FILE = DATA_DIR / "secret.key"
LLMHUB_ENCRYPTION_KEYS_FILE = DATA_DIR / "encryption.keys"
# The ring as text; registry.vault parses it. Empty until `prepare` has made the file.
LLMHUB_ENCRYPTION_KEYS = env_secret("LLMHUB_ENCRYPTION_KEYS", fallback_file=LLMHUB_ENCRYPTION_KEYS_FILE)
# Hosts, host:port or networks that are open to all although they are private.
LLMHUB_PRIVATE_ENDPOINTS = env_list("LLMHUB_PRIVATE_ENDPOINTS")
# One's own discovery: dotted paths of ModelSource and CapabilityResolver classes, and a YAML file of overrides.
LLMHUB_MODEL_SOURCES = env_list("LLMHUB_MODEL_SOURCES")
LLMHUB_CAPABILITY_RESOLVERS = env_list("LLMHUB_CAPABILITY_RESOLVERS")
LLMHUB_MODEL_OVERRIDES = env_path("LLMHUB_MODEL_OVERRIDES", DATA_DIR / "model_overrides.yaml")
# Texts for chats: name=dotted.path of a ContextProvider.
LLMHUB_CONTEXT_PROVIDERS = env_list("LLMHUB_CONTEXT_PROVIDERS")
# Ask the providers for their models every so many hours (0: only when told to), and apply what they say at once.
LLMHUB_DISCOVERY_EVERY_H = env_int("LLMHUB_DISCOVERY_EVERY_H", 0, minimum=0, maximum=8760)
LLMHUB_DISCOVERY_APPLY = env_bool("LLMHUB_DISCOVERY_APPLY", False)
LLMHUB_WORKERS = env_int("LLMHUB_WORKERS", 1, minimum=1, maximum=64)
LLMHUB_JOURNAL_DIR = env_path("LLMHUB_JOURNAL_DIR", DATA_DIR / "journal")
LLMHUB_METRICS_DIR = DATA_DIR / "metrics"
# Proxies whose X-Forwarded-For says where a request came from (addresses or networks); nobody else's is believed.
LLMHUB_TRUSTED_PROXIES = env_list("LLMHUB_TRUSTED_PROXIES")
try:
    [ipaddress.ip_network(text, strict=False) for text in LLMHUB_TRUSTED_PROXIES]
except ValueError:
    raise ImproperlyConfigured("LLMHUB_TRUSTED_PROXIES takes addresses and networks, separated by commas.") from None
# Requests a minute: one address's sign-ins, one person's tests and looks for models, one caller's REST.
LLMHUB_SIGN_INS_PER_MINUTE = env_int("LLMHUB_SIGN_INS_PER_MINUTE", 30, minimum=1)
LLMHUB_TESTS_PER_MINUTE = env_int("LLMHUB_TESTS_PER_MINUTE", 20, minimum=1)
LLMHUB_API_PER_MINUTE = env_int("LLMHUB_API_PER_MINUTE", 600, minimum=1)
# How long a client may take to send a whole request.
LLMHUB_BODY_TIMEOUT_S = env_int("LLMHUB_BODY_TIMEOUT_S", 60, minimum=1, maximum=3600)
# Counters that this node's workers share; nothing that must be kept.
LLMHUB_LIMITS_DIR = DATA_DIR / "limits"
# How long open streams may go on after SIGTERM.
LLMHUB_DRAIN_S = env_int("LLMHUB_DRAIN_S", 30, minimum=1, maximum=3600)
# How long a worker that cannot reach the database serves from what it has.
LLMHUB_STALE_LIMIT_S = env_int("LLMHUB_STALE_LIMIT_S", 900, minimum=1)
LLMHUB_MAX_BODY_BYTES = 20 * MIB
VALKEY_URL = env_secret("VALKEY_URL")
# Who may call a model whose price nobody knows: allow (everybody), unbudgeted (those whom no budget limits), refuse.
LLMHUB_UNPRICED: Any = env_str("LLMHUB_UNPRICED", "unbudgeted").lower()
if LLMHUB_UNPRICED not in ("allow", "unbudgeted", "refuse"):
    raise ImproperlyConfigured("LLMHUB_UNPRICED must be allow, unbudgeted or refuse.")

# --- Django ------------------------------------------------------------------------------------------------------

DEBUG = env_bool("DJANGO_DEBUG", False)
SECRET_KEY = env_secret("DJANGO_SECRET_KEY", fallback_file=SECRET_KEY_FILE)
ALLOWED_HOSTS = ["127.0.0.1", "localhost", "[::1]", *env_list("DJANGO_ALLOWED_HOSTS")]
CSRF_TRUSTED_ORIGINS = env_list("DJANGO_CSRF_TRUSTED_ORIGINS")
ROOT_URLCONF = "llmhub.urls"
ASGI_APPLICATION = "llmhub.asgi.application"
WSGI_APPLICATION = "llmhub.wsgi.application"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

INSTALLED_APPS = [
    "registry",
    "registry.apps.HubAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    *ACCOUNT_APPS,
    "csp",
    "rest_framework",
    "django_filters",
    "drf_spectacular",
]

MIDDLEWARE = [
    "registry.access.request_ids.RequestIdMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "registry.access.rate_limits.RateLimitMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "registry.web.second_factor.SecondFactorMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

TEMPLATES: list[dict[str, Any]] = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "registry.web.page.navigation_everywhere",
            ],
            "builtins": ["django.templatetags.i18n", "registry.web.tags"],
        },
    },
]

DATABASES = {
    "default": build_database(
        env_secret("DATABASE_URL"),
        default_file=DATA_DIR / "llmhub.sqlite3",
        pool_size=env_int("LLMHUB_DB_POOL_SIZE", 10, minimum=1, maximum=200),
    ),
}

CACHES: dict[str, dict[str, Any]] = {
    "default": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": VALKEY_URL}
    if VALKEY_URL
    else {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"},
}

# --- People ------------------------------------------------------------------------------------------------------

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator"},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
]
AUTH_USER_MODEL = "registry.User"
LOGIN_URL = "/accounts/login/"
LOGIN_REDIRECT_URL = "/"
LOGOUT_REDIRECT_URL = "/accounts/login/"
LANGUAGE_CODE = "en-us"
TIME_ZONE = env_str("DJANGO_TIME_ZONE", "UTC")
USE_I18N = True
LOCALE_PATHS = [BASE_DIR / "registry" / "locale"]  # `make messages` gathers the English texts there
USE_TZ = True

# --- What a browser may do ---------------------------------------------------------------------------------------

CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [SELF],
        "script-src": [SELF],
        "style-src": [SELF],
        "img-src": [SELF, "data:"],
        "connect-src": [SELF],
        "object-src": [NONE],
        "frame-ancestors": [NONE],
        "base-uri": [SELF],
        "form-action": [SELF],
    },
}
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
CSRF_COOKIE_SAMESITE = "Lax"
X_FRAME_OPTIONS = "DENY"
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin"

# DJANGO_SECURE=1: people reach the hub by HTTPS. DJANGO_PROXY_TLS=1 besides: a proxy in front ends TLS and sets
# X-Forwarded-Proto itself (it must drop a client's own, or any client could claim HTTPS).
DJANGO_SECURE = env_bool("DJANGO_SECURE", False)
SESSION_COOKIE_SECURE = DJANGO_SECURE
CSRF_COOKIE_SECURE = DJANGO_SECURE
SECURE_HSTS_SECONDS = env_int("DJANGO_HSTS_SECONDS", 3600) if DJANGO_SECURE else 0
if env_bool("DJANGO_PROXY_TLS", False):
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")

# --- Bodies and static files -------------------------------------------------------------------------------------

DATA_UPLOAD_MAX_MEMORY_SIZE = LLMHUB_MAX_BODY_BYTES
FILE_UPLOAD_MAX_MEMORY_SIZE = LLMHUB_MAX_BODY_BYTES
DATA_UPLOAD_MAX_NUMBER_FIELDS = 2000

STATIC_URL = "/static/"
STATIC_ROOT = env_path("LLMHUB_STATIC_ROOT", BASE_DIR / "staticfiles")
STATICFILES_DIRS = [BASE_DIR / "static"]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
}

# --- REST --------------------------------------------------------------------------------------------------------

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "registry.api.authentication.AccessTokenAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["registry.api.permissions.DeclaredAccess"],
    "DEFAULT_PARSER_CLASSES": ["registry.api.parsers.StrictJSONParser"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_FILTER_BACKENDS": ["django_filters.rest_framework.DjangoFilterBackend"],
    "DEFAULT_PAGINATION_CLASS": "registry.api.paging.RowPagination",
    "DEFAULT_SCHEMA_CLASS": "registry.api.schema.HubSchema",
    "EXCEPTION_HANDLER": "registry.api.errors.exception_handler",
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "LLM Hub",
    "DESCRIPTION": "One place for every model a team uses.",
    "VERSION": VERSION,
    "SERVE_INCLUDE_SCHEMA": False,
    "SCHEMA_PATH_PREFIX": "/api/",
    "COMPONENT_SPLIT_REQUEST": True,
    "ENUM_NAME_OVERRIDES": {
        "UsageStateEnum": "registry.models.UsageState",
        "CredentialStateEnum": "registry.models.CredentialState",
    },
}

# --- Logs and error reports --------------------------------------------------------------------------------------

LOG_LEVEL = env_str("LLMHUB_LOG_LEVEL", "info").lower()
LOG_FORMAT = env_str("LLMHUB_LOG_FORMAT", "plain").lower()
if LOG_LEVEL not in LEVELS:
    raise ImproperlyConfigured(f"LLMHUB_LOG_LEVEL must be one of {', '.join(LEVELS)}.")
if LOG_FORMAT not in FORMATS:
    raise ImproperlyConfigured(f"LLMHUB_LOG_FORMAT must be one of {', '.join(FORMATS)}.")
LOGGING = build_logging(LOG_LEVEL, LOG_FORMAT)
DEFAULT_EXCEPTION_REPORTER = "llmhub.logs.BareExceptionReporter"
