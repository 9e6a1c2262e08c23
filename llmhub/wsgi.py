"""Entry point for a WSGI server: pages, admin and REST only. Calls to models need ASGI (llmhub/asgi.py)."""

from __future__ import annotations

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "llmhub.settings")
application = get_wsgi_application()
