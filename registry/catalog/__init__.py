"""Owns the registry as the core reads it: entries, queries, sources and the in-memory snapshot."""
