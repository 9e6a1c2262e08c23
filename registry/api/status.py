"""Answers whether this worker lives (/healthz), may take traffic (/readyz) and what it counted (/metrics)."""

from __future__ import annotations

import os
from pathlib import Path

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from registry.usage.lag import LagCollector
from registry.vault.keyring import keyring

# Migrations only ever get applied while a worker runs, so "none missing" stays true once seen.
_migrations_applied = False


@never_cache
@require_safe
def healthz(request: HttpRequest) -> HttpResponse:
    """200 as long as the process answers; it looks at nothing else, so a database outage restarts no worker."""
    return JsonResponse({"status": "ok"})


@never_cache
@require_safe
def readyz(request: HttpRequest) -> HttpResponse:
    """200 when every check holds, else 503 with the failing ones named (never with what they hold)."""
    checks = {"database": _database_fault(), "encryption_keys": _key_ring_fault()}
    faults = {name: fault for name, fault in checks.items() if fault}
    body = {
        "status": "unavailable" if faults else "ok",
        "checks": {name: fault or "ok" for name, fault in checks.items()},
    }
    return JsonResponse(body, status=503 if faults else 200)


@never_cache
@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """Prometheus text format, summed over all workers when `manage.py serve` gave them a shared folder."""
    registry = REGISTRY
    if os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]  # the library has no types here
    recorder = CollectorRegistry()
    recorder.register(LagCollector(Path(settings.LLMHUB_JOURNAL_DIR)))
    return HttpResponse(generate_latest(registry) + generate_latest(recorder), content_type=CONTENT_TYPE_LATEST)


def _database_fault() -> str:
    global _migrations_applied
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
        if not _migrations_applied:
            executor = MigrationExecutor(connection)
            if executor.migration_plan(executor.loader.graph.leaf_nodes()):
                return "migrations are missing: run manage.py migrate"
            _migrations_applied = True
    except DatabaseError:
        return "unreachable"
    return ""


def _key_ring_fault() -> str:
    try:
        keyring()
    except ImproperlyConfigured as error:
        return str(error)  # names the variable, never the value
    return ""
