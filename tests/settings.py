"""The hub's settings for the test suite: an environment of its own, then llmhub.settings as it is.

Nothing of the developer's environment or data folder reaches a test. LLMHUB_TEST_DATABASE_URL picks the database
(tests/postgres_plugin.py sets it); without it the suite runs on SQLite.
"""

from __future__ import annotations

import atexit
import base64
import os
import secrets
import shutil
import tempfile
from pathlib import Path

_data_dir = Path(tempfile.mkdtemp(prefix="llmhub-tests-"))
atexit.register(shutil.rmtree, _data_dir, ignore_errors=True)

# What steers the suite itself; every other setting and key of the developer's goes.
KEPT = ("DJANGO_SETTINGS_MODULE", "LLMHUB_TEST_DATABASE_URL", "LLMHUB_CACHE_DIR", "LLMHUB_REQUIRE_BROWSER")
KEPT += ("LLMHUB_CHROMIUM", "LLMHUB_LIVE_PYTHON", "LLMHUB_RECORDINGS")
for _name in list(os.environ):
    if _name not in KEPT and (_name.startswith(("DJANGO_", "LLMHUB_", "COMFYVN_LLM_")) or _name.endswith("_API_KEY")):
        del os.environ[_name]
for _name in ("VALKEY_URL", "DATABASE_URL"):
    os.environ.pop(_name, None)

os.environ["LLMHUB_DATA_DIR"] = str(_data_dir)
os.environ["LLMHUB_ENCRYPTION_KEYS"] = "test:" + base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()
os.environ["DJANGO_SECRET_KEY"] = secrets.token_urlsafe(48)
# Single sign-on is there; who tests it starts an issuer and names it. Limits that nobody reaches by chance.
os.environ["LLMHUB_OIDC_ISSUER"], os.environ["LLMHUB_OIDC_CLIENT_ID"] = "https://issuer.test", "llmhub"
for _name in ("LLMHUB_SIGN_INS_PER_MINUTE", "LLMHUB_TESTS_PER_MINUTE", "LLMHUB_API_PER_MINUTE"):
    os.environ[_name] = "100000"
if os.environ.get("LLMHUB_TEST_DATABASE_URL"):
    os.environ["DATABASE_URL"] = os.environ["LLMHUB_TEST_DATABASE_URL"]

from llmhub.settings import *  # noqa: E402, F403  # after the environment it reads; all of them
from llmhub.settings import DATABASES, STORAGES  # noqa: E402  # after the environment it reads

# A file, not memory: threads and processes then meet the same locks as in a real hub.
if "sqlite3" in DATABASES["default"]["ENGINE"]:
    DATABASES["default"]["TEST"] = {"NAME": str(_data_dir / "test.sqlite3")}

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
STATIC_ROOT = _data_dir / "static"
STATIC_ROOT.mkdir()
STORAGES = {**STORAGES, "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}}
WHITENOISE_AUTOREFRESH = True
