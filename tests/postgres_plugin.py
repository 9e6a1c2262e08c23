"""Runs the suite on a real PostgreSQL: `python -m pytest -p tests.postgres_plugin`. Importing it starts the server.

A plugin and not a fixture, because pytest-django reads the settings before any conftest is loaded. An address in
LLMHUB_TEST_DATABASE_URL is used as it is, and nothing is started.
"""

from __future__ import annotations

import os

from tests.postgres import start_server

if not os.environ.get("LLMHUB_TEST_DATABASE_URL"):
    os.environ["LLMHUB_TEST_DATABASE_URL"] = start_server()[0]
