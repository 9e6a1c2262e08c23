"""Says in plain words how the test of a key or provider went. The probe asks, keeps the outcome and audits it."""

from __future__ import annotations

from dataclasses import dataclass

from registry.discovery.probe import ConnectionReport, probe_provider
from registry.models import Credential, Provider, User

# What a person can do about it, by the error's code; the rest speaks for itself.
HINTS = {
    "upstream_authentication": "Check that the whole key was copied and that it was not revoked.",
    "upstream_permission_denied": "The key is known there, but may not do this. Check its rights at the provider.",
    "upstream_quota_exceeded": "Add credit or raise the limit at the provider.",
    "upstream_rate_limited": "The key works. Wait a moment.",
    "upstream_unreachable": "Check the address. If it is on a private network, an administrator has to open it.",
    "upstream_timeout": "Check the address, or try again when the server has started.",
    "endpoint_not_allowed": "Addresses on private networks are closed until an administrator opens them.",
    "key_unreadable": "Replace the key.",
    "no_key": "Add a key first.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a person reads after a test."""

    ok: bool
    text: str
    hint: str = ""
    latency_ms: int | None = None


def run_test(user: User, provider: Provider, credential: Credential | None, address: str | None) -> Outcome:
    """Ask the provider, for at most the probe's deadline."""
    report = probe_provider(provider, user, credential=credential, address=address)
    return in_words(provider, report)


def in_words(provider: Provider, report: ConnectionReport) -> Outcome:
    if report.error is None:
        count = len(report.models)
        listed = f" It lists {count} model{'' if count == 1 else 's'}." if count else ""
        return Outcome(ok=True, text=f"{provider.name} answers.{listed}", latency_ms=report.latency_ms)
    hint = HINTS.get(report.error.code, "")
    return Outcome(ok=False, text=report.error.message, hint=hint, latency_ms=report.latency_ms or None)
