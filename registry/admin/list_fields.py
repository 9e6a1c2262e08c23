"""Form fields for JSON columns that people can fill in without writing JSON. Knows no record but its shapes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from registry.models import CAPABILITIES

ANSWERS = (("unknown", "unknown"), ("yes", "yes"), ("no", "no"))


class WordsField(forms.CharField):
    """A list of texts, one a line."""

    def __init__(self, *, max_items: int = 200, **kwargs: Any) -> None:
        self.max_items = max_items
        super().__init__(**{"required": False, "widget": forms.Textarea(attrs={"rows": 3, "cols": 40}), **kwargs})

    def prepare_value(self, value: Any) -> Any:
        return "\n".join(str(item) for item in value) if isinstance(value, list) else value

    def to_python(self, value: Any) -> Any:
        words = [line.strip() for line in (super().to_python(value) or "").splitlines()]
        words = list(dict.fromkeys(word for word in words if word))
        if len(words) > self.max_items or any(len(word) > 200 for word in words):
            raise ValidationError(f"At most {self.max_items} lines of 200 signs.")
        return words

    def has_changed(self, initial: Any, data: Any) -> bool:
        return bool((initial or []) != self.to_python(data))


class ChosenField(forms.MultipleChoiceField):
    """A JSON list chosen from a few words."""

    def __init__(self, *, words: Iterable[str], **kwargs: Any) -> None:
        choices = [(word, word) for word in words]
        super().__init__(**{"choices": choices, "widget": forms.CheckboxSelectMultiple, **kwargs})


class CapabilitiesWidget(forms.MultiWidget):
    """A select for each capability, with its name before it and where the answer comes from after it."""

    def __init__(self) -> None:
        self.notes: Mapping[str, str] = {}
        super().__init__({name: forms.Select(choices=ANSWERS) for name in CAPABILITIES})

    def decompress(self, value: Any) -> list[str]:
        known = value if isinstance(value, dict) else {}
        return [str(known.get(name, {}).get("value", "unknown")) for name in CAPABILITIES]

    def render(self, name: str, value: Any, attrs: Any = None, renderer: Any = None) -> SafeString:
        answers = value if isinstance(value, list) else self.decompress(value)
        rows = []
        for key, widget, answer in zip(CAPABILITIES, self.widgets, answers, strict=True):
            own_id = f"id_{name}_{key}"
            select = widget.render(f"{name}_{key}", answer, {"id": own_id}, renderer)
            rows.append((own_id, key.replace("_", " "), select, self.notes.get(key, "")))
        line = '<label for="{}">{}</label>{}<small>{}</small>'
        return format_html('<div class="capabilities">{}</div>', format_html_join("", line, rows))


class CapabilitiesField(forms.MultiValueField):
    """Answers by name; cleans to `{"tools": "yes", ...}` with every capability in it."""

    def __init__(self, **kwargs: Any) -> None:
        fields = tuple(forms.ChoiceField(choices=ANSWERS, required=False) for _ in CAPABILITIES)
        super().__init__(fields, **{"required": False, "widget": CapabilitiesWidget(), **kwargs})

    def compress(self, data_list: Any) -> dict[str, str]:
        return {name: (answer or "unknown") for name, answer in zip(CAPABILITIES, data_list or [], strict=False)}
