"""Entry point for granian: calls to models go to the lane, everything else to Django behind a cap on bodies."""

from __future__ import annotations

import os
import warnings

from django.core.asgi import get_asgi_application

from llmhub.supervisor import die_with_parent

if os.environ.get("LLMHUB_SUPERVISED"):
    # A worker of a granian that was killed would go on serving, unsupervised.
    die_with_parent()

# Whitenoise hands out files as plain iterators; Django reads them in a thread, which is right, and warns each time.
warnings.filterwarnings("ignore", message="StreamingHttpResponse must consume synchronous iterators")

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "llmhub.settings")
django_application = get_asgi_application()

# These import models and settings, so they come after Django is set up.
from django.conf import settings  # noqa: E402  # settings first

from llmhub.dispatch import build_application  # noqa: E402  # settings first
from registry.gateway.app import application as lane_application  # noqa: E402  # settings first

application = build_application(
    lane=lane_application,
    pages=django_application,
    max_body_bytes=settings.LLMHUB_MAX_BODY_BYTES,
    body_timeout_s=settings.LLMHUB_BODY_TIMEOUT_S,
    trusted_proxies=settings.LLMHUB_TRUSTED_PROXIES,
)
