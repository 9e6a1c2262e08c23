"""Makes a data folder ready to serve from: key files, schema, templates, administrator or set-up link, static files."""

from __future__ import annotations

import base64
import hashlib
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.context import ForkProcess
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.auth.password_validation import validate_password
from django.contrib.staticfiles.finders import get_finders
from django.core.exceptions import ValidationError
from django.core.management import call_command, get_commands
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError, transaction

from registry.access import audit
from registry.access.setup_link import drop_setup_link, make_setup_link, write_private
from registry.models import CredentialSecret
from registry.vault.row_security import MAINTENANCE, secrets_of
from registry.vault.row_security import fault as row_security_fault
from registry.vault.second_factors import are_any_sealed


class Command(BaseCommand):
    help = "Make keys, migrate, seed, make the administrator or a set-up link, collect static files. Safe to repeat."
    # The checks would read keys that this command is about to make.
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--port", type=int, default=8000, help="the port that the set-up link names")
        parser.add_argument("--no-static", action="store_true", help="static files were collected before")
        parser.add_argument("--serve", action="store_true", help="become the server afterwards, as `serve` would")

    def handle(self, *args: Any, port: int, no_static: bool, serve: bool, **options: Any) -> None:
        os.umask(0o077)
        self.make_data_dir()
        collecting = None if no_static else self.start_collecting()
        self.make_secret_key()
        with self.step("Database migrated"):
            call_command("migrate", interactive=False, verbosity=0)
        if fault := row_security_fault():
            self.stderr.write(f"Warning: {fault} (docs/security.md).")
        self.make_encryption_keys()
        if "seed_models" in get_commands():
            with self.step("Provider templates in place"):
                call_command("seed_models", verbosity=0)
        self.make_administrator(port)
        if collecting is not None:
            collecting.join()
            if collecting.exitcode:
                raise CommandError("The static files could not be collected; the reason is above.")
        if serve:
            self.stdout.write("Starting the server")
            self.stdout.flush()
            call_command("serve", port=port, skip_checks=False)

    def start_collecting(self) -> ForkProcess:
        """Beside the migration, in a process of its own: it touches no database, and none is open yet."""
        process = get_context("fork").Process(target=self.collect_static)
        process.start()
        return process

    @contextmanager
    def step(self, done: str) -> Iterator[None]:
        begun = time.monotonic()
        try:
            yield
        except DatabaseError as error:
            # The driver's text names host, port and user, never the password.
            raise CommandError(f"The database cannot be used: {error}") from None
        self.stdout.write(f"{done} in {time.monotonic() - begun:.1f} s")
        self.stdout.flush()

    def collect_static(self) -> None:
        """Hashing and compressing takes seconds, so it is left out while no source file changed."""
        listing = hashlib.sha256(settings.VERSION.encode())
        for finder in get_finders():
            for name, storage in finder.list([]):
                state = Path(storage.path(name)).stat()
                listing.update(f"{name} {state.st_size} {state.st_mtime_ns}\n".encode())
        stamp = Path(settings.STATIC_ROOT) / ".collected"
        if stamp.exists() and stamp.read_text(encoding="ascii") == listing.hexdigest():
            return
        with self.step("Static files collected"):
            call_command("collectstatic", interactive=False, verbosity=0, clear=True)
            stamp.write_text(listing.hexdigest(), encoding="ascii")

    def make_data_dir(self) -> None:
        for folder in (settings.DATA_DIR, settings.LLMHUB_JOURNAL_DIR):
            try:
                Path(folder).mkdir(mode=0o700, parents=True, exist_ok=True)
            except OSError as error:
                raise CommandError(f"The folder {folder} cannot be made ({error.strerror}).") from None

    def make_secret_key(self) -> None:
        if not settings._wrapped.SECRET_KEY:  # the setting itself raises while it is empty
            settings.SECRET_KEY = self.make_key_file(settings.SECRET_KEY_FILE, secrets.token_urlsafe(50))

    def make_encryption_keys(self) -> None:
        """After the migration: a fresh key beside secrets of a lost one would only hide the loss."""
        if settings.LLMHUB_ENCRYPTION_KEYS:
            return
        if self.holds_secrets():
            raise CommandError(
                "The database holds encrypted keys, and neither LLMHUB_ENCRYPTION_KEYS nor "
                f"{settings.LLMHUB_ENCRYPTION_KEYS_FILE} is there to open them: restore one of the two."
            )
        key = "k1:" + base64.b64encode(secrets.token_bytes(32)).decode()
        settings.LLMHUB_ENCRYPTION_KEYS = self.make_key_file(settings.LLMHUB_ENCRYPTION_KEYS_FILE, key)

    def holds_secrets(self) -> bool:
        with secrets_of(MAINTENANCE):
            return CredentialSecret.objects.exists() or are_any_sealed()

    def make_key_file(self, path: Path, value: str) -> str:
        """The key that is in force: ours, or that of another start that was a moment earlier."""
        try:
            write_private(path, value + "\n")
        except FileExistsError:
            return path.read_text(encoding="utf-8").strip()
        self.stdout.write(f"Made {path} (mode 0600; back it up)")
        return value

    def make_administrator(self, port: int) -> None:
        users = get_user_model()._default_manager
        username = os.environ.get("DJANGO_SUPERUSER_USERNAME", "")
        if username:
            self.make_superuser(username)
        if users.filter(is_superuser=True).exists():
            drop_setup_link()
            return
        self.stdout.write(f"Make the first administrator here: http://127.0.0.1:{port}/setup/{make_setup_link()}/")

    def make_superuser(self, username: str) -> None:
        """Idempotent: an administrator of that name stays as they are, password included."""
        model = get_user_model()
        existing = model._default_manager.filter(**{model.USERNAME_FIELD: username}).first()
        if existing is not None:
            if not existing.is_superuser:
                raise CommandError("DJANGO_SUPERUSER_USERNAME names somebody who is there and is no administrator.")
            return
        password = os.environ.get("DJANGO_SUPERUSER_PASSWORD", "")
        if not password:
            raise CommandError("DJANGO_SUPERUSER_USERNAME is set, so DJANGO_SUPERUSER_PASSWORD must be set too.")
        user = model(username=username, email=os.environ.get("DJANGO_SUPERUSER_EMAIL", ""))
        try:
            validate_password(password, user)
            user.clean_fields(exclude=["password"])
        except ValidationError as error:
            reasons = " ".join(error.messages)
            raise CommandError(f"DJANGO_SUPERUSER_* do not make an administrator: {reasons}") from None
        with transaction.atomic():
            made = model._default_manager.create_superuser(username, user.email, password)
            audit.record(None, "create", made, None, audit.snapshot(made))
        self.stdout.write(f"Made the administrator {username}")
