"""Names the registry application for Django."""

from __future__ import annotations

import re
from importlib import import_module
from urllib.parse import urlsplit

from django.apps import AppConfig
from django.conf import settings
from django.contrib.admin import apps as admin_apps

from adapters.redaction import remember


class RegistryConfig(AppConfig):
    default = True
    name = "registry"
    verbose_name = "LLM registry"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Have the hub's own secrets taken out of whatever it writes for people to read."""
        ring = re.split(r"[,\n]", settings.LLMHUB_ENCRYPTION_KEYS)
        remember(*(entry.strip().rpartition(":")[2] for entry in ring))
        # Not `settings.SECRET_KEY`: that raises while it is empty, and `prepare` makes it after this.
        remember(vars(settings._wrapped).get("SECRET_KEY"))
        remember(*(str(database.get("PASSWORD") or "") for database in settings.DATABASES.values()))
        remember(urlsplit(settings.VALKEY_URL).password)


class HubAdminConfig(admin_apps.AdminConfig):
    """Django's admin with the hub's own site behind `/admin/`."""

    default = False
    default_site = "registry.admin.site.HubAdminSite"

    def ready(self) -> None:
        # Not by importing the package: the site is looked up in it, and would be made twice, the second one empty.
        super().ready()
        import_module("registry.admin.records")
