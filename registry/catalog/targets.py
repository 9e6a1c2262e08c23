"""From a chosen entry and a revealed secret to an adapter that can be called; the environment's overrides apply."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import Literal

from adapters import Adapter, EgressPolicy, Transport
from adapters.create import codec_for, create_adapter, read_timeouts
from adapters.egress import origin_of
from adapters.errors import ConfigurationError
from adapters.kinds import KINDS, get_kind, profile_for
from registry.catalog.base_model import profile_name
from registry.catalog.entries import CredentialEntry, LLMEntry, ProviderEntry, Secret
from registry.catalog.environment import EnvironmentOverride, default_timeout_s, environment_key, override_of

NO_OVERRIDE = EnvironmentOverride()
_origin_of = lru_cache(maxsize=4096)(origin_of)  # a text's origin never changes; each call asks for it


def endpoint_of(entry: LLMEntry) -> ProviderEntry:
    """The entry's provider; for a simple registry's entry, one made from its adapter kind and address.

    Raises ConfigurationError when `provider` is no adapter kind.
    """
    if entry.endpoint is not None:
        return entry.endpoint
    kind = get_kind(entry.provider)
    return ProviderEntry(
        id=f"kind:{kind.kind}",
        slug=kind.kind,
        kind=kind.kind,
        base_url=entry.api_endpoint or kind.base_url,
        auth_type=kind.auth_type if entry.api_key else "none",
        from_environment=True,
    )


@lru_cache(maxsize=4096)
def override_for(slug: str, *, shared: bool) -> EnvironmentOverride:
    """The environment's word on a provider; it speaks of global providers alone. Read once: restart to change it."""
    return override_of(slug) if shared else NO_OVERRIDE


def address_of(provider: ProviderEntry) -> str:
    """Where the provider is called: the environment's override, else the row's URL."""
    override = override_for(provider.slug, shared=provider.owner_id is None)
    return override.base_url or provider.base_url


def stored_keys_allowed(provider: ProviderEntry) -> bool:
    """Whether keys from the database may go to this provider: never to an address that the environment put there."""
    return override_for(provider.slug, shared=provider.owner_id is None).base_url is None


def key_from_environment(provider: ProviderEntry) -> Secret | None:
    """A key that the environment gives for this provider."""
    if provider.owner_id is not None:
        return None
    api_key = environment_key(provider)
    override = override_for(provider.slug, shared=True)
    if api_key is None and not override.headers:
        return None
    return Secret(api_key=api_key, headers=override.headers)


def build_adapter(
    entry: LLMEntry, provider: ProviderEntry, key: Secret, *, policy: EgressPolicy, transport: Transport
) -> Adapter:
    """An adapter for one model with one key. Raises ConfigurationError, EgressDeniedError."""
    row = get_kind("stub" if provider.dry_run else provider.kind)
    override = override_for(provider.slug, shared=provider.owner_id is None)
    timeout_s = provider.timeout_s or override.timeout_s or default_timeout_s()
    adapter = create_adapter(
        row.kind,
        base_url=address_of(provider) or None,
        api_key=key.api_key,
        model=entry.model,
        headers={**provider.headers, **key.headers},
        settings=dict(provider.settings),
        transport=transport,
        policy=policy,
        provider=provider.slug,
    )
    target = replace(
        adapter.target,
        auth_type=_auth_type(provider.auth_type, key),
        profile=profile_for(row.kind, profile_name(row.kind, entry.model, entry.family), entry.profile or None),
        timeouts=read_timeouts(timeout_s, local=row.local),
    )
    return Adapter(target, codec_for(row.kind), transport, policy)


def _auth_type(auth_type: str, key: Secret) -> Literal["bearer", "api_key", "none"]:
    if key.api_key is None:
        return "none"
    return "api_key" if auth_type == "api_key" else "bearer"


def check_bound(credential: CredentialEntry, provider: ProviderEntry) -> None:
    """A stored key goes to the origin it was entered for and nowhere else. Raises ConfigurationError."""
    address = address_of(provider)
    if credential.origin != (_origin_of(address) if address else ""):
        raise ConfigurationError("The stored key belongs to another address. Enter it again.", provider=provider.slug)


def needs_key(provider: ProviderEntry) -> bool:
    """Whether a call without any key is sure to fail."""
    kind = KINDS.get(provider.kind)
    return not provider.dry_run and provider.auth_type != "none" and (kind is None or kind.requires_api_key)
