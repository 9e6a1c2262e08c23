"""The hub itself: records, core and faces. Imports downward only (see pyproject.toml)."""
