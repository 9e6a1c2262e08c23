"""Owns finding out what models a provider has: sources, resolvers, refresh and probes."""
