"""Form fields for secrets: what is typed goes in, nothing ever comes out. Stores nothing."""

from __future__ import annotations

import re
from typing import Any

from django import forms
from django.core.exceptions import ValidationError

from adapters.redaction import remember
from registry.models import Credential, Provider
from registry.models.headers import validate_headers

_KEY = re.compile(r"[\x21-\x7e]{1,4096}")


class WriteOnlyTextarea(forms.Textarea):
    """Like PasswordInput for more lines: never renders a value, also not what was just typed."""

    def get_context(self, name: str, value: Any, attrs: Any) -> dict[str, Any]:
        return super().get_context(name, None, attrs)


class KeyField(forms.CharField):
    """An API key: one word of printable ASCII, since it travels in a header."""

    def __init__(self, **kwargs: Any) -> None:
        widget = forms.PasswordInput(render_value=False, attrs={"autocomplete": "new-password", "size": 60})
        super().__init__(**{"required": False, "label": "API key", "widget": widget, **kwargs})

    def to_python(self, value: Any) -> str:
        key: str = super().to_python(value) or ""
        remember(key)
        if key and not _KEY.fullmatch(key):
            raise ValidationError("A key is one word of ASCII letters, digits and signs.")
        return key


class HeadersField(forms.CharField):
    """Secret headers, one `Name: value` a line; cleans to a dict."""

    def __init__(self, **kwargs: Any) -> None:
        widget = WriteOnlyTextarea(attrs={"rows": 3, "cols": 60, "autocomplete": "off", "spellcheck": "false"})
        super().__init__(**{"required": False, "label": "Secret headers", "widget": widget, **kwargs})

    def to_python(self, value: Any) -> Any:
        # Only the line breaks that a text area sends end a line: any other control sign is then refused in the value.
        lines = [line for line in re.split(r"\r\n|\n", super().to_python(value) or "") if line.strip()]
        headers: dict[str, str] = {}
        for number, line in enumerate(lines, 1):
            name, separator, text = line.partition(":")
            if not separator:
                raise ValidationError(f"Line {number} has no colon: it takes `Name: value`.")
            if name.strip().lower() in {known.lower() for known in headers}:
                raise ValidationError(f"Line {number} gives a header for the second time.")
            headers[name.strip()] = text.strip(" \t")
        remember(*headers.values())
        validate_headers(headers)
        return headers


class SecretFieldsMixin(forms.Form):
    """The write-only part of a provider's and a credential's form."""

    api_key = KeyField(help_text="Write-only: it is encrypted, and only its last four characters are ever shown.")
    headers = HeadersField(help_text="Write-only. One a line, `Name: value`, sent with every call.")
    clear_headers = forms.BooleanField(required=False, label="Remove the stored secret headers")

    @property
    def secret_given(self) -> bool:
        return any(self.cleaned_data.get(name) for name in ("api_key", "headers", "clear_headers"))

    def store_secret(self, credential: Credential) -> None:
        """Replace what was typed and keep the rest."""
        data = self.cleaned_data
        headers: dict[str, str] | None = {} if data.get("clear_headers") else None
        credential.change_secret(api_key=data.get("api_key") or None, headers=data.get("headers") or headers)


def first_shared_credential(provider: Provider) -> Credential:
    """The credential that a provider's own form writes: its oldest shared one, else a new one."""
    found: Credential | None = provider.credentials.shared().order_by("created_at", "pk").first()
    return found or Credential(provider=provider, label="default")
