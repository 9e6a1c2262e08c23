"""Configuration only: settings, URLs and the two server entry points. No product logic."""
