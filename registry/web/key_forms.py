"""Forms around keys: adding one (and the provider it needs), replacing one, who pays. A key goes in and never out."""

from __future__ import annotations

from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Q

from adapters.kinds import KINDS
from registry.catalog.from_template import create_from_template
from registry.catalog.templates import TEMPLATES, ProviderTemplate
from registry.models import Credential, LLMModel, Provider, User, UserSettings

MAX_KEY_CHARS = 4096


class KeyField(forms.CharField):
    """A secret: never echoed into a page, not even when another field is wrong."""

    def __init__(self, **kwargs: Any) -> None:
        attributes = {"autocomplete": "off", "spellcheck": "false", "autocapitalize": "off"}
        widget = forms.PasswordInput(attrs=attributes, render_value=False)
        super().__init__(label="Key", max_length=MAX_KEY_CHARS, strip=False, widget=widget, **kwargs)

    def clean(self, value: Any) -> str:
        # Pasted keys come with blanks and line ends around them.
        key = str(super().clean(str(value or "").strip()) or "")
        if any(not 33 <= ord(character) <= 126 for character in key):
            raise ValidationError(
                "A key is made of plain letters, digits and signs, without blanks. Copy it again.", code="not_a_key"
            )
        return key


class AddKeyForm(forms.Form):
    """Steps two of three: the key, and what the chosen provider needs besides. `save` makes the rows."""

    api_key = KeyField(required=True)
    name = forms.CharField(max_length=120, label="Name", help_text="What you want to call this provider.")
    base_url = forms.CharField(
        max_length=500, label="Base URL", widget=forms.TextInput(attrs={"inputmode": "url", "spellcheck": "false"})
    )
    model_names = forms.CharField(
        label="Models",
        max_length=20_000,
        required=False,
        widget=forms.Textarea(attrs={"rows": 3, "spellcheck": "false"}),
        help_text="One a line, as the provider calls them.",
    )
    label = forms.CharField(
        max_length=80, initial="default", required=False, help_text="Tells several keys of one provider apart."
    )
    everyone = forms.BooleanField(
        required=False, label="For everybody", help_text="A shared key: all users of this hub may call with it."
    )

    def __init__(
        self,
        *args: Any,
        user: User,
        provider: Provider | None = None,
        template: ProviderTemplate | None = None,
        **kw: Any,
    ) -> None:
        super().__init__(*args, **kw)
        self.user, self.provider, self.template = user, provider, template
        kind = KINDS.get(provider.adapter) if provider else template.adapter_kind if template else None
        self.needs_key = kind is None or kind.requires_api_key
        key = self.fields["api_key"]
        key.required = self.needs_key or provider is not None
        if template and template.key_hint:
            key.widget.attrs["placeholder"] = template.key_hint
        if not key.required:
            key.help_text = "Only if the server asks for one."
        if provider is not None or template is None:
            for name in ("name", "base_url", "model_names"):
                del self.fields[name]
        else:
            self._fit_template(template)
        if not user.is_superuser or (provider is not None and provider.owner_id is not None):
            del self.fields["everyone"]

    def _fit_template(self, template: ProviderTemplate) -> None:
        self.fields["name"].initial = template.label
        self.fields["base_url"].initial = template.base_url
        self.fields["base_url"].widget.attrs["placeholder"] = template.base_url_hint or template.base_url
        if template.base_url and not template.adapter_kind.local:
            del self.fields["base_url"]
        if template.models and not template.adapter_kind.local:
            del self.fields["model_names"]
        else:
            self.fields["model_names"].initial = "\n".join(row.model_id for row in template.models)

    def clean_label(self) -> str:
        return self.cleaned_data["label"].strip() or "default"

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        if self.provider is not None and "label" in cleaned:
            owner = None if cleaned.get("everyone") else self.user
            if Credential.objects.filter(provider=self.provider, owner=owner, label=cleaned["label"]).exists():
                self.add_error("label", "There is a key with this label already. Replace it, or take another label.")
        return cleaned

    def save(self) -> tuple[Provider, Credential | None]:
        """Make what is missing, all or nothing. Raises ValidationError by field when the provider can't be made."""
        owner = None if self.cleaned_data.get("everyone") else self.user
        with transaction.atomic():
            provider = self.provider or self._make_provider(owner)
            key = self.cleaned_data["api_key"]
            if not key:
                return provider, None
            credential = Credential(provider=provider, owner=owner, label=self.cleaned_data["label"])
            credential.set_secret(key)
            if owner is None:
                _enable(provider)
            return provider, credential

    def _make_provider(self, owner: User | None) -> Provider:
        assert self.template is not None
        data = self.cleaned_data
        if owner is None and "base_url" not in data:
            waiting = Provider.objects.shared().filter(template=self.template.slug, credentials__isnull=True)
            found: Provider | None = waiting.first()
            if found is not None:  # seeded, and never used yet
                return found
        names = [line.strip() for line in data.get("model_names", "").splitlines() if line.strip()]
        return create_from_template(
            self.template,
            owner=owner,
            name=data["name"],
            base_url=data.get("base_url", ""),
            model_ids=names if "model_names" in data else None,
        )


def _enable(provider: Provider) -> None:
    """A template waits disabled for its first key; then it and its models open."""
    if provider.enabled:
        return
    provider.enabled = True
    provider.save(update_fields=["enabled", "updated_at"])
    LLMModel.objects.filter(provider=provider, enabled=False).update(enabled=True)


class ReplaceKeyForm(forms.Form):
    api_key = KeyField(required=True)


class PolicyForm(forms.ModelForm):  # type: ignore[type-arg]  # Django's forms take no argument at run time
    class Meta:
        model = UserSettings
        fields = ("key_policy",)
        labels = {"key_policy": "Whose key pays"}


def addable(user: User) -> tuple[list[Provider], list[ProviderTemplate]]:
    """What a key can be added for: providers that are there and take one, and templates nobody has set up yet."""
    rows = Provider.objects.visible_to(user).filter(enabled=True).exclude(adapter="stub")
    rows = rows.filter(Q(owner=user) | ~Q(auth_type="none"))
    providers = list(rows)
    present = {provider.template for provider in providers if provider.owner_id is None}
    templates = [row for row in TEMPLATES.values() if row.slug != "stub" and row.slug not in present]
    return providers, templates
