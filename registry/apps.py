"""Names the registry application for Django."""

from __future__ import annotations

from importlib import import_module

from django.apps import AppConfig
from django.contrib.admin import apps as admin_apps


class RegistryConfig(AppConfig):
    default = True
    name = "registry"
    verbose_name = "LLM registry"
    default_auto_field = "django.db.models.BigAutoField"


class HubAdminConfig(admin_apps.AdminConfig):
    """Django's admin with the hub's own site behind `/admin/`."""

    default = False
    default_site = "registry.admin.site.HubAdminSite"

    def ready(self) -> None:
        # Not by importing the package: the site is looked up in it, and would be made twice, the second one empty.
        super().ready()
        import_module("registry.admin.records")
