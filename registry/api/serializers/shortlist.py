"""Presets, routes and prompt packs: named shortlists of models, and what a module says to them."""

from __future__ import annotations

from typing import Any

from django.db.models import Max
from rest_framework import serializers
from rest_framework.exceptions import ValidationError

from registry.api.fields import FlagField, IntegerField, JsonField, JsonObjectField, RowField, TextField
from registry.api.serializers.base import OwnedSerializer, check_row
from registry.models import LLMModel, Preset, PresetEntry, PromptPack, Route, RouteEntry


class PresetEntrySerializer(serializers.Serializer[Any]):
    """One rank; the first of the list is tried first."""

    model = RowField(LLMModel, slug_field="name", required=False, allow_null=True)
    model_id = serializers.UUIDField(read_only=True, allow_null=True)
    model_ref = TextField(required=False, allow_blank=True, max_length=200, help_text="provider/model_id")
    options = JsonObjectField(required=False)
    note = TextField(required=False, allow_blank=True, max_length=300)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if not attrs.get("model") and not attrs.get("model_ref"):
            raise ValidationError({"model": ["Name a model of the hub, or a model_ref for one it has not yet."]})
        return attrs


class RouteEntrySerializer(serializers.Serializer[Any]):
    """One of a route's choices, or a fallback tried after them."""

    model = RowField(LLMModel, slug_field="name")
    model_id = serializers.UUIDField(read_only=True)
    weight = IntegerField(required=False, min_value=0, max_value=2**31 - 1)
    is_fallback = FlagField(required=False)


class ShortlistSerializer(OwnedSerializer):
    """A row with `entries`: sent, they replace the ones there were; not sent, they stay."""

    entry_model: type[PresetEntry] | type[RouteEntry]
    parent_name: str

    def validate_entries(self, value: list[dict[str, Any]]) -> list[dict[str, Any]]:
        if len(value) > 100:
            raise ValidationError("This takes at most 100 entries.")
        return value

    def create(self, validated_data: dict[str, Any]) -> Any:
        entries = validated_data.pop("entries", [])
        row = super().create(validated_data)
        self._replace(row, entries)
        return row

    def update(self, instance: Any, validated_data: dict[str, Any]) -> Any:
        entries = validated_data.pop("entries", None)
        row = super().update(instance, validated_data)
        if entries is not None:
            self._replace(row, entries)
        return row

    def _replace(self, row: Any, entries: list[dict[str, Any]]) -> None:
        made = []
        for position, entry in enumerate(entries):
            model = entry.get("model")
            if row.owner_id is None and model is not None and model.owner_id is not None:
                raise ValidationError({"entries": [f"{model.name} is a personal model; this list is for everybody."]})
            made.append(self.entry_model(**{self.parent_name: row, "position": position, **entry}))
        models = [entry.model_id for entry in made if entry.model_id]
        if len(models) != len(set(models)):
            raise ValidationError({"entries": ["A model is named twice."]})
        row.entries.all().delete()
        for row_made in made:
            check_row(row_made)
        self.entry_model.objects.bulk_create(made)
        getattr(row, "_prefetched_objects_cache", {}).pop("entries", None)


class PresetSerializer(ShortlistSerializer):
    entry_model, parent_name = PresetEntry, "preset"
    entries = PresetEntrySerializer(many=True, required=False)

    class Meta:
        model = Preset
        fields = (
            *("id", "slug", "name", "module", "description", "options", "is_module_default", "enabled", "is_global"),
            *("entries", "created_at", "updated_at"),
        )
        read_only_fields = ("created_at", "updated_at")


class RouteSerializer(ShortlistSerializer):
    entry_model, parent_name = RouteEntry, "route"
    entries = RouteEntrySerializer(many=True, required=False)

    class Meta:
        model = Route
        fields = (
            *("id", "name", "description", "strategy", "sticky", "enabled", "is_global", "entries"),
            *("created_at", "updated_at"),
        )
        read_only_fields = ("created_at", "updated_at")


class PromptPackSerializer(OwnedSerializer):
    version = IntegerField(required=False, min_value=1, max_value=2**31 - 1, help_text="The next one when left out.")
    output_schema = JsonField(required=False, allow_null=True)

    class Meta:
        model = PromptPack
        fields = (
            *("id", "module", "version", "name", "system_template", "user_template", "output_schema", "options"),
            *("enabled", "is_global", "created_at", "updated_at"),
        )
        read_only_fields = ("created_at", "updated_at")

    def create(self, validated_data: dict[str, Any]) -> Any:
        if "version" not in validated_data:
            owner = None if validated_data.get("is_global") else self.user
            packs = PromptPack.objects.filter(owner=owner, module=validated_data["module"])
            validated_data["version"] = (packs.aggregate(last=Max("version"))["last"] or 0) + 1
        return super().create(validated_data)
