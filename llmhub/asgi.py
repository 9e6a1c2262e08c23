"""Entry point for granian: calls to models go to the lane, everything else to Django behind a cap on bodies."""

from __future__ import annotations

import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "llmhub.settings")
django_application = get_asgi_application()

# These import models and settings, so they come after Django is set up.
from django.conf import settings  # noqa: E402

from llmhub.dispatch import build_application  # noqa: E402
from registry.gateway.app import application as lane_application  # noqa: E402

application = build_application(
    lane=lane_application, pages=django_application, max_body_bytes=settings.LLMHUB_MAX_BODY_BYTES
)
