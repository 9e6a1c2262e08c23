"""Named, reversible schema changes."""
