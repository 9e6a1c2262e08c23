"""Mutants that change nothing that a test could see, each with its reason. `make mutation` counts them neither way."""

from __future__ import annotations

from typing import Final

# "module function: what", as `make mutation` prints it without the line.
EQUIVALENT: Final[dict[str, str]] = {
    "registry.models.access_token AccessToken.mint: not True": (
        "force_insert: a new row whose key comes from a default is inserted by Django anyway"
    ),
}
