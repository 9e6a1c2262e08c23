"""Ground floor: translates between canonical types and each provider's wire format. Knows no Django and no database."""
