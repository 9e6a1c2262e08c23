"""Owns the way from a requested name to ordered candidates: resolution, health, limits and budgets."""
