"""What all serializers share: strict fields, the model's own rules on save, and who a new row belongs to."""

from __future__ import annotations

from typing import Any, ClassVar

from django.core.exceptions import NON_FIELD_ERRORS
from django.core.exceptions import ValidationError as DjangoValidationError
from django.db import models
from rest_framework import serializers
from rest_framework.exceptions import PermissionDenied, ValidationError

from registry.api import fields

_INTEGER_LIMITS = {
    models.PositiveSmallIntegerField: 32_767,
    models.PositiveIntegerField: 2**31 - 1,
    models.PositiveBigIntegerField: 2**63 - 1,
}


class RowSerializer(serializers.ModelSerializer[Any]):
    """A row. Only the fields that a subclass names can be written, whatever a client sends."""

    serializer_field_mapping: ClassVar[dict[Any, Any]] = {
        **serializers.ModelSerializer.serializer_field_mapping,
        models.CharField: fields.TextField,
        models.SlugField: fields.TextField,
        models.TextField: fields.TextField,
        models.BooleanField: fields.FlagField,
        models.PositiveSmallIntegerField: fields.IntegerField,
        models.PositiveIntegerField: fields.IntegerField,
        models.PositiveBigIntegerField: fields.IntegerField,
        models.FloatField: fields.NumberField,
        models.DecimalField: fields.MoneyField,
        models.JSONField: fields.JsonField,
    }

    def build_standard_field(self, field_name: str, model_field: Any) -> Any:
        field_class, kwargs = super().build_standard_field(field_name, model_field)
        if field_class is fields.TextField:
            kwargs["multiline"] = isinstance(model_field, models.TextField)
            kwargs.pop("allow_unicode", None)  # the model checks its slugs itself
        limit = _INTEGER_LIMITS.get(type(model_field))
        if limit is not None:
            kwargs["max_value"] = min(kwargs.get("max_value") or limit, limit)
        if issubclass(field_class, fields.JsonField) and model_field.default is dict:
            field_class = fields.JsonObjectField
        return field_class, kwargs

    def get_unique_together_constraints(self, model: Any) -> Any:
        """None here: the row's own `validate_constraints` knows conditions and the owner, which a client can't name."""
        return iter(())

    def get_validators(self) -> list[Any]:
        return []

    @property
    def user(self) -> Any:
        return self.context["request"].user

    def create(self, validated_data: dict[str, Any]) -> Any:
        model: Any = self.Meta.model
        return self.put(model(**validated_data))

    def update(self, instance: Any, validated_data: dict[str, Any]) -> Any:
        for name, value in validated_data.items():
            setattr(instance, name, value)
        return self.put(instance)

    def put(self, row: Any) -> Any:
        """Hold the row against the model's rules and save it. Raises ValidationError by field."""
        check_row(row)
        row.save()
        return row


class OwnedSerializer(RowSerializer):
    """A row of one user's own, or of everybody (`is_global`), which only admins make. Ownership never changes."""

    is_global = fields.FlagField(required=False, help_text="For everybody; admins only.")

    def validate_is_global(self, value: bool) -> bool:
        if self.instance is not None:
            if value != (self.instance.owner_id is None):
                raise ValidationError("Whom a row belongs to can't be changed.")
        elif value and not self.user.is_superuser:
            raise PermissionDenied("Only administrators make rows for everybody.")
        return value

    def create(self, validated_data: dict[str, Any]) -> Any:
        is_global = validated_data.pop("is_global", False)
        return super().create({**validated_data, "owner": None if is_global else self.user})

    def update(self, instance: Any, validated_data: dict[str, Any]) -> Any:
        validated_data.pop("is_global", None)
        return super().update(instance, validated_data)

    def to_representation(self, instance: Any) -> dict[str, Any]:
        answer = super().to_representation(instance)
        answer["is_global"] = instance.owner_id is None
        return answer


def check_row(row: models.Model) -> None:
    """`full_clean` whose unique constraints are reported at the field a person would change."""
    try:
        row.full_clean(validate_constraints=False)
    except DjangoValidationError as error:
        raise ValidationError(by_field(error)) from error
    for constraint in row._meta.constraints:
        try:
            constraint.validate(type(row), row)
        except DjangoValidationError as error:
            names = getattr(constraint, "fields", ())
            where = names[-1] if names else "non_field_errors"
            text = "This is taken already." if names else " ".join(error.messages)
            raise ValidationError({where: [text]}) from error


def by_field(error: DjangoValidationError) -> dict[str, list[str]]:
    if not hasattr(error, "error_dict"):
        return {"non_field_errors": list(error.messages)}
    return {
        ("non_field_errors" if name == NON_FIELD_ERRORS else name): texts for name, texts in error.message_dict.items()
    }
