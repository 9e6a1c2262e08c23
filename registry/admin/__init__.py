"""The admin face over every record. Secrets are write-only here."""
