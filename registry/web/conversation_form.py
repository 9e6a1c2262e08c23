"""What a person sets for a conversation: model, instructions, parameters, tools, the answer's schema, documents."""

from __future__ import annotations

from typing import Any, Final

from django import forms
from django.core.exceptions import ValidationError
from django.http import JsonResponse
from django.urls import reverse

from registry.models import Conversation, LLMModel

KEPT: Final = ("temperature", "top_p", "max_tokens", "tools", "schema", "documents")
MAX_DOCUMENT_CHARACTERS = 2_000_000


def check_tools(value: Any) -> None:
    """OpenAI's list of function tools."""
    if not isinstance(value, list) or not all(
        isinstance(tool, dict) and tool.get("type") == "function" and isinstance(tool.get("function"), dict)
        for tool in value
    ):
        raise ValidationError('This takes a list of {"type": "function", "function": {...}}.')


def check_schema(value: Any) -> None:
    if not isinstance(value, dict):
        raise ValidationError("This takes a JSON schema: an object.")


def check_documents(value: Any) -> None:
    if not isinstance(value, list) or len(value) > 20:
        raise ValidationError("This takes a list of at most 20 documents.")
    for one in value:
        if (
            not isinstance(one, dict)
            or set(one) != {"name", "text"}
            or not all(isinstance(v, str) for v in one.values())
        ):
            raise ValidationError("A document has a name and a text.")
    if sum(len(one["text"]) for one in value) > MAX_DOCUMENT_CHARACTERS:
        raise ValidationError("The documents are too long.")


class ConversationForm(forms.Form):
    title = forms.CharField(required=False, max_length=200)
    model = forms.ModelChoiceField(queryset=LLMModel.objects.none())
    system_prompt = forms.CharField(required=False, max_length=100_000, strip=False)
    temperature = forms.FloatField(required=False, min_value=0, max_value=2)
    top_p = forms.FloatField(required=False, min_value=0, max_value=1)
    max_tokens = forms.IntegerField(required=False, min_value=1, max_value=1_000_000)
    tools = forms.JSONField(required=False, validators=[check_tools])
    schema = forms.JSONField(required=False, validators=[check_schema])
    documents = forms.JSONField(required=False, validators=[check_documents])

    def __init__(self, *args: Any, user: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = self.fields["model"]
        assert isinstance(field, forms.ModelChoiceField)
        field.queryset = LLMModel.objects.usable_by(user)

    def apply(self, conversation: Conversation) -> None:
        """Write the settings onto the conversation and save it."""
        data = self.cleaned_data
        conversation.title = data["title"].strip() or conversation.title
        conversation.llm_model = data["model"]
        conversation.system_prompt = data["system_prompt"]
        given = {name: data[name] for name in KEPT if data[name] not in (None, [], {})}
        conversation.params = {name: value for name, value in conversation.params.items() if name not in KEPT} | given
        conversation.save()

    def answer(self, conversation: Conversation) -> JsonResponse:
        if not self.is_valid():
            message = " ".join(f"{name}: {text}" for name, texts in self.errors.items() for text in texts)
            return JsonResponse({"error": {"type": "invalid", "message": message}}, status=400)
        self.apply(conversation)
        url = f"{reverse('playground')}?conversation={conversation.pk}"
        return JsonResponse({"id": str(conversation.pk), "url": url})
