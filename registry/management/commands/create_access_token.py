"""Makes an access token for a user and prints it, alone, on standard output."""

from __future__ import annotations

import datetime as dt
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction
from django.utils import timezone

from registry.access import audit
from registry.models import SCOPES, AccessToken, User


class Command(BaseCommand):
    help = "Make an access token. The token is printed once, alone on standard output, and stored nowhere."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("username")
        parser.add_argument("--name", required=True, help="what the token is for")
        parser.add_argument("--scopes", nargs="+", metavar="SCOPE", help=f"of {', '.join(SCOPES)}; default: all")
        parser.add_argument("--expires-days", type=int, metavar="D", help="default: it does not expire")

    def handle(
        self, *args: Any, username: str, name: str, scopes: list[str] | None, expires_days: int | None, **options: Any
    ) -> None:
        owner = User.objects.filter(username=username).first()
        if owner is None:
            raise CommandError(f"There is no user {username!r}.")
        if not owner.is_active:
            raise CommandError(f"The user {username!r} is not active, so a token of theirs would open nothing.")
        # Who may run this command may do anything as that user anyway; a page or the API gives narrower tokens.
        fields: dict[str, Any] = {"scopes": list(SCOPES) if scopes is None else parse_scopes(scopes)}
        if expires_days is not None:
            if not 1 <= expires_days <= 36500:
                raise CommandError("--expires-days takes a number from 1 to 36500.")
            fields["expires_at"] = timezone.now() + dt.timedelta(days=expires_days)
        try:
            with transaction.atomic():
                token, plaintext = AccessToken.mint(owner=owner, name=name, **fields)
                audit.record(None, "create", token, None, audit.snapshot(token))
        except ValidationError as error:
            raise CommandError(" ".join(error.messages)) from None
        expiry = f", until {token.expires_at:%Y-%m-%d %H:%M %Z}" if token.expires_at else ""
        self.stderr.write(
            f"A token for {username}: {token.name}, {' '.join(token.scopes)}{expiry}. It is not shown again."
        )
        self.stdout.write(plaintext)


def parse_scopes(words: list[str]) -> list[str]:
    """Scopes given as separate words or with commas, in their usual order. Raises CommandError."""
    named = {scope for word in words for scope in word.split(",") if scope}
    unknown = sorted(named - set(SCOPES))
    if unknown or not named:
        raise CommandError(
            f"--scopes takes some of {', '.join(SCOPES)}" + (f", not {unknown[0]!r}." if unknown else ".")
        )
    return [scope for scope in SCOPES if scope in named]
