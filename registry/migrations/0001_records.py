import django.contrib.auth.validators
import django.core.validators
import django.db.models.deletion
import django.utils.timezone
import registry.models.access_token
import registry.models.base
import registry.models.llm_model
import registry.models.provider
import registry.models.user
import registry.vault.fields
from decimal import Decimal
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        ("auth", "0012_alter_user_first_name_max_length"),
    ]

    operations = [
        migrations.CreateModel(
            name="RegistryChange",
            fields=[
                ("sequence", models.BigAutoField(primary_key=True, serialize=False)),
                ("table", models.CharField(max_length=63)),
                ("row", models.UUIDField()),
                ("at", models.DateTimeField(auto_now_add=True)),
            ],
            options={
                "ordering": ("sequence",),
            },
        ),
        migrations.CreateModel(
            name="User",
            fields=[
                ("password", models.CharField(max_length=128, verbose_name="password")),
                ("last_login", models.DateTimeField(blank=True, null=True, verbose_name="last login")),
                (
                    "is_superuser",
                    models.BooleanField(
                        default=False,
                        help_text="Designates that this user has all permissions without explicitly assigning them.",
                        verbose_name="superuser status",
                    ),
                ),
                (
                    "username",
                    models.CharField(
                        error_messages={"unique": "A user with that username already exists."},
                        help_text="Required. 150 characters or fewer. Letters, digits and @/./+/-/_ only.",
                        max_length=150,
                        unique=True,
                        validators=[django.contrib.auth.validators.UnicodeUsernameValidator()],
                        verbose_name="username",
                    ),
                ),
                ("first_name", models.CharField(blank=True, max_length=150, verbose_name="first name")),
                ("last_name", models.CharField(blank=True, max_length=150, verbose_name="last name")),
                ("email", models.EmailField(blank=True, max_length=254, verbose_name="email address")),
                (
                    "is_staff",
                    models.BooleanField(
                        default=False,
                        help_text="Designates whether the user can log into this admin site.",
                        verbose_name="staff status",
                    ),
                ),
                (
                    "is_active",
                    models.BooleanField(
                        default=True,
                        help_text="Designates whether this user should be treated as active. Unselect this instead of deleting accounts.",
                        verbose_name="active",
                    ),
                ),
                ("date_joined", models.DateTimeField(default=django.utils.timezone.now, verbose_name="date joined")),
                (
                    "id",
                    models.UUIDField(
                        default=registry.models.base.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                (
                    "groups",
                    models.ManyToManyField(
                        blank=True,
                        help_text="The groups this user belongs to. A user will get all permissions granted to each of their groups.",
                        related_name="user_set",
                        related_query_name="user",
                        to="auth.group",
                        verbose_name="groups",
                    ),
                ),
                (
                    "user_permissions",
                    models.ManyToManyField(
                        blank=True,
                        help_text="Specific permissions for this user.",
                        related_name="user_set",
                        related_query_name="user",
                        to="auth.permission",
                        verbose_name="user permissions",
                    ),
                ),
            ],
            options={
                "verbose_name": "user",
                "verbose_name_plural": "users",
                "abstract": False,
            },
        ),
        migrations.CreateModel(
            name="AccessToken",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=registry.models.base.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("updated_at", models.DateTimeField(auto_now=True)),
                ("name", models.CharField(max_length=80)),
                ("prefix", models.CharField(editable=False, max_length=16, unique=True)),
                ("digest", models.CharField(editable=False, max_length=64)),
                ("scopes", models.JSONField(default=registry.models.access_token.default_scopes)),
                ("allowed_models", models.JSONField(blank=True, default=list)),
                ("networks", models.JSONField(blank=True, default=list)),
                ("requests_per_minute", models.PositiveIntegerField(blank=True, null=True)),
                ("tokens_per_minute", models.PositiveIntegerField(blank=True, null=True)),
                ("concurrency", models.PositiveIntegerField(blank=True, null=True)),
                ("session", models.BooleanField(default=False, editable=False)),
                ("expires_at", models.DateTimeField(blank=True, null=True)),
                ("revoked_at", models.DateTimeField(blank=True, null=True)),
                ("last_used_at", models.DateTimeField(blank=True, editable=False, null=True)),
                (
                    "owner",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="access_tokens",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "ordering": ("-created_at", "-id"),
            },
        ),
        migrations.CreateModel(
            name="Provider",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=registry.models.base.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("updated_at", models.DateTimeField(auto_now=True)),
                ("slug", models.SlugField(max_length=64)),
                ("name", models.CharField(max_length=120)),
                ("adapter", models.CharField(choices=registry.models.provider.kind_choices, max_length=32)),
                ("base_url", models.CharField(blank=True, max_length=500)),
                (
                    "auth_type",
                    models.CharField(
                        choices=[
                            ("bearer", "Authorization: Bearer"),
                            ("api_key", "The provider's own key header"),
                            ("none", "No key"),
                        ],
                        default="bearer",
                        max_length=16,
                    ),
                ),
                ("settings", models.JSONField(blank=True, default=dict)),
                (
                    "timeout_s",
                    models.FloatField(
                        blank=True,
                        null=True,
                        validators=[
                            django.core.validators.MinValueValidator(0.1),
                            django.core.validators.MaxValueValidator(3600.0),
                        ],
                    ),
                ),
                (
                    "fee_percent",
                    models.DecimalField(
                        decimal_places=3,
                        default=Decimal("0"),
                        max_digits=6,
                        validators=[
                            django.core.validators.MinValueValidator(0),
                            django.core.validators.MaxValueValidator(100),
                        ],
                    ),
                ),
                ("enabled", models.BooleanField(default=True)),
                (
                    "dry_run",
                    models.BooleanField(default=False, help_text="Answer by echo; never call or bill the provider."),
                ),
                ("metadata", models.JSONField(blank=True, default=dict)),
                ("template", models.SlugField(blank=True, max_length=64)),
                (
                    "health_state",
                    models.CharField(
                        choices=[("unknown", "not checked yet"), ("ok", "answers"), ("failing", "fails")],
                        default="unknown",
                        max_length=16,
                    ),
                ),
                ("health_checked_at", models.DateTimeField(blank=True, null=True)),
                ("health_error", models.CharField(blank=True, max_length=300)),
                ("health_latency_ms", models.PositiveIntegerField(blank=True, null=True)),
                (
                    "owner",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="providers",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "ordering": ("name", "id"),
                "indexes": [models.Index(fields=["slug"], name="provider_by_slug")],
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("owner__isnull", True)), fields=("slug",), name="provider_slug_global"
                    ),
                    models.UniqueConstraint(
                        condition=models.Q(("owner__isnull", False)),
                        fields=("owner", "slug"),
                        name="provider_slug_owned",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("fee_percent__gte", 0)), name="provider_fee_not_negative"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("timeout_s__isnull", True), ("timeout_s__gt", 0), _connector="OR"),
                        name="provider_timeout_positive",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="LLMModel",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=registry.models.base.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("updated_at", models.DateTimeField(auto_now=True)),
                ("model_id", models.CharField(max_length=200)),
                ("name", models.CharField(max_length=200)),
                ("description", models.TextField(blank=True, max_length=4000)),
                ("family", models.CharField(blank=True, max_length=80)),
                (
                    "aliases",
                    models.JSONField(
                        blank=True, default=list, validators=[registry.models.llm_model.validate_string_list]
                    ),
                ),
                (
                    "tier",
                    models.CharField(
                        choices=[
                            ("economy", "Economy"),
                            ("standard", "Standard"),
                            ("premium", "Premium"),
                            ("local", "Local"),
                        ],
                        default="standard",
                        max_length=16,
                    ),
                ),
                (
                    "quality_tier",
                    models.CharField(
                        choices=[
                            ("best", "Best"),
                            ("balanced", "Balanced"),
                            ("cheap", "Cheap"),
                            ("unknown", "Unknown"),
                        ],
                        default="unknown",
                        max_length=16,
                    ),
                ),
                (
                    "tags",
                    models.JSONField(
                        blank=True, default=list, validators=[registry.models.llm_model.validate_string_list]
                    ),
                ),
                (
                    "capabilities",
                    models.JSONField(
                        blank=True, default=dict, validators=[registry.models.llm_model.validate_capabilities]
                    ),
                ),
                (
                    "known_params",
                    models.JSONField(
                        blank=True, default=list, validators=[registry.models.llm_model.validate_string_list]
                    ),
                ),
                ("context_length", models.PositiveIntegerField(blank=True, null=True)),
                ("max_output_tokens", models.PositiveIntegerField(blank=True, null=True)),
                ("default_params", models.JSONField(blank=True, default=dict)),
                ("profile", models.JSONField(blank=True, default=dict)),
                (
                    "speed_tps",
                    models.FloatField(
                        blank=True, null=True, validators=[django.core.validators.MinValueValidator(0.0)]
                    ),
                ),
                ("is_default", models.BooleanField(default=False, help_text="Used when nothing else names a model.")),
                ("enabled", models.BooleanField(default=True)),
                ("last_used_at", models.DateTimeField(blank=True, editable=False, null=True)),
                ("retires_on", models.DateField(blank=True, null=True)),
                ("vanished_at", models.DateTimeField(blank=True, editable=False, null=True)),
                (
                    "owner",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="llm_models",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "provider",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="models", to="registry.provider"
                    ),
                ),
            ],
            options={
                "verbose_name": "model",
                "ordering": ("name", "id"),
                "indexes": [
                    models.Index(fields=["tier", "enabled"], name="model_by_tier"),
                    models.Index(fields=["provider", "model_id"], name="model_by_upstream_id"),
                ],
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("owner__isnull", True)), fields=("name",), name="model_name_global"
                    ),
                    models.UniqueConstraint(
                        condition=models.Q(("owner__isnull", False)), fields=("owner", "name"), name="model_name_owned"
                    ),
                    models.UniqueConstraint(
                        condition=models.Q(("owner__isnull", True)),
                        fields=("provider", "model_id"),
                        name="model_of_provider_global",
                    ),
                    models.UniqueConstraint(
                        condition=models.Q(("owner__isnull", False)),
                        fields=("owner", "provider", "model_id"),
                        name="model_of_provider_owned",
                    ),
                    models.UniqueConstraint(
                        condition=models.Q(("is_default", True), ("owner__isnull", True)),
                        fields=("is_default",),
                        name="model_one_default",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("is_default", False), ("owner__isnull", True), _connector="OR"),
                        name="model_default_is_global",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="Conversation",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=registry.models.base.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("updated_at", models.DateTimeField(auto_now=True)),
                ("title", models.CharField(blank=True, max_length=200)),
                ("system_prompt", models.TextField(blank=True)),
                ("params", models.JSONField(blank=True, default=dict)),
                ("tags", models.JSONField(blank=True, default=list)),
                ("archived", models.BooleanField(default=False)),
                (
                    "owner",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="conversations",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "llm_model",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="conversations",
                        to="registry.llmmodel",
                    ),
                ),
            ],
            options={
                "ordering": ("-updated_at", "-id"),
                "indexes": [models.Index(fields=["owner", "-updated_at"], name="conversation_by_owner")],
            },
        ),
        migrations.CreateModel(
            name="Credential",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=registry.models.base.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("updated_at", models.DateTimeField(auto_now=True)),
                ("label", models.CharField(default="default", max_length=80)),
                ("last_four", models.CharField(blank=True, editable=False, max_length=4)),
                ("fingerprint", models.CharField(blank=True, editable=False, max_length=16)),
                ("origin", models.CharField(blank=True, editable=False, max_length=300)),
                ("header_names", models.JSONField(blank=True, default=list, editable=False)),
                (
                    "weight",
                    models.PositiveSmallIntegerField(
                        default=1,
                        validators=[
                            django.core.validators.MinValueValidator(1),
                            django.core.validators.MaxValueValidator(1000),
                        ],
                    ),
                ),
                ("enabled", models.BooleanField(default=True)),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("ok", "usable"),
                            ("missing", "the key has to be entered again"),
                            ("undecryptable", "can't be opened with the present encryption keys"),
                            ("rejected", "refused by the provider"),
                        ],
                        default="missing",
                        editable=False,
                        max_length=16,
                    ),
                ),
                ("last_used_at", models.DateTimeField(blank=True, editable=False, null=True)),
                ("last_error", models.CharField(blank=True, editable=False, max_length=300)),
                ("expires_at", models.DateTimeField(blank=True, null=True)),
                (
                    "owner",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="credentials",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "provider",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="credentials", to="registry.provider"
                    ),
                ),
            ],
            options={
                "ordering": ("provider", "label", "id"),
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("owner__isnull", True)),
                        fields=("provider", "label"),
                        name="credential_label_global",
                    ),
                    models.UniqueConstraint(
                        condition=models.Q(("owner__isnull", False)),
                        fields=("owner", "provider", "label"),
                        name="credential_label_owned",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="CredentialSecret",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=registry.models.base.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                (
                    "ciphertext",
                    registry.vault.fields.EncryptedTextField(
                        bound_to=("id", "credential.owner_id", "credential.origin"), editable=False
                    ),
                ),
                ("updated_at", models.DateTimeField(auto_now=True)),
                (
                    "credential",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE, related_name="secret", to="registry.credential"
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="DiscoveryRun",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=registry.models.base.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("updated_at", models.DateTimeField(auto_now=True)),
                ("source", models.CharField(max_length=80)),
                (
                    "state",
                    models.CharField(
                        choices=[("running", "running"), ("done", "done"), ("failed", "failed")],
                        default="running",
                        max_length=16,
                    ),
                ),
                ("error", models.CharField(blank=True, max_length=300)),
                ("finished_at", models.DateTimeField(blank=True, null=True)),
                (
                    "started_by",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "provider",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="discovery_runs",
                        to="registry.provider",
                    ),
                ),
            ],
            options={
                "ordering": ("-created_at",),
            },
        ),
        migrations.CreateModel(
            name="Experiment",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=registry.models.base.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("updated_at", models.DateTimeField(auto_now=True)),
                ("prompt", models.TextField()),
                ("tag", models.CharField(blank=True, max_length=64)),
                ("blind", models.BooleanField(default=False)),
                (
                    "conversation",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="experiments",
                        to="registry.conversation",
                    ),
                ),
                (
                    "owner",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="experiments",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "ordering": ("-created_at",),
            },
        ),
        migrations.CreateModel(
            name="DiscoveryChange",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=registry.models.base.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("updated_at", models.DateTimeField(auto_now=True)),
                (
                    "kind",
                    models.CharField(
                        choices=[("new", "new"), ("changed", "changed"), ("vanished", "vanished")], max_length=16
                    ),
                ),
                ("upstream_id", models.CharField(max_length=200)),
                ("before", models.JSONField(blank=True, default=dict)),
                ("after", models.JSONField(blank=True, default=dict)),
                ("applied_at", models.DateTimeField(blank=True, null=True)),
                (
                    "run",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="changes", to="registry.discoveryrun"
                    ),
                ),
                (
                    "model",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to="registry.llmmodel",
                    ),
                ),
            ],
            options={
                "ordering": ("run", "kind", "upstream_id"),
            },
        ),
        migrations.CreateModel(
            name="Budget",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=registry.models.base.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("updated_at", models.DateTimeField(auto_now=True)),
                (
                    "window",
                    models.CharField(
                        choices=[("day", "a day"), ("week", "a week"), ("month", "a month"), ("total", "in all")],
                        default="month",
                        max_length=8,
                    ),
                ),
                (
                    "amount",
                    models.DecimalField(
                        decimal_places=9,
                        max_digits=18,
                        validators=[django.core.validators.MinValueValidator(Decimal("0"))],
                    ),
                ),
                ("spent", models.DecimalField(decimal_places=9, default=Decimal("0"), editable=False, max_digits=18)),
                ("leased", models.DecimalField(decimal_places=9, default=Decimal("0"), editable=False, max_digits=18)),
                ("window_start", models.DateTimeField(blank=True, editable=False, null=True)),
                ("enabled", models.BooleanField(default=True)),
                (
                    "group",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="budgets",
                        to="auth.group",
                    ),
                ),
                (
                    "token",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="budgets",
                        to="registry.accesstoken",
                    ),
                ),
                (
                    "user",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="budgets",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "model",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="budgets",
                        to="registry.llmmodel",
                    ),
                ),
            ],
            options={
                "ordering": ("-created_at",),
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(
                                ("group__isnull", True),
                                ("model__isnull", True),
                                ("token__isnull", True),
                                ("user__isnull", False),
                            ),
                            models.Q(
                                ("group__isnull", False),
                                ("model__isnull", True),
                                ("token__isnull", True),
                                ("user__isnull", True),
                            ),
                            models.Q(
                                ("group__isnull", True),
                                ("model__isnull", True),
                                ("token__isnull", False),
                                ("user__isnull", True),
                            ),
                            models.Q(
                                ("group__isnull", True),
                                ("model__isnull", False),
                                ("token__isnull", True),
                                ("user__isnull", True),
                            ),
                            _connector="OR",
                        ),
                        name="budget_one_subject",
                    ),
                    models.CheckConstraint(condition=models.Q(("amount__gte", 0)), name="budget_amount_not_negative"),
                    models.CheckConstraint(condition=models.Q(("leased__gte", 0)), name="budget_leased_not_negative"),
                ],
            },
        ),
        migrations.CreateModel(
            name="Message",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=registry.models.base.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("updated_at", models.DateTimeField(auto_now=True)),
                (
                    "role",
                    models.CharField(
                        choices=[("system", "System"), ("user", "User"), ("assistant", "Assistant"), ("tool", "Tool")],
                        max_length=16,
                    ),
                ),
                ("content", models.TextField(blank=True)),
                ("parts", models.JSONField(blank=True, default=list)),
                ("model_name", models.CharField(blank=True, max_length=200)),
                ("request_id", models.CharField(blank=True, db_index=True, max_length=64)),
                ("finish_reason", models.CharField(blank=True, max_length=32)),
                (
                    "conversation",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="messages", to="registry.conversation"
                    ),
                ),
                (
                    "experiment",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="variants",
                        to="registry.experiment",
                    ),
                ),
                (
                    "llm_model",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="messages",
                        to="registry.llmmodel",
                    ),
                ),
                (
                    "parent",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="children",
                        to="registry.message",
                    ),
                ),
            ],
            options={
                "ordering": ("created_at", "id"),
                "indexes": [models.Index(fields=["conversation", "created_at"], name="message_by_conversation")],
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("request_id", ""), _negated=True),
                        fields=("request_id", "role"),
                        name="message_once_a_request",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="ModelAccess",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=registry.models.base.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("updated_at", models.DateTimeField(auto_now=True)),
                (
                    "group",
                    models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name="+", to="auth.group"),
                ),
                (
                    "model",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="access", to="registry.llmmodel"
                    ),
                ),
            ],
            options={
                "verbose_name_plural": "model access",
                "constraints": [models.UniqueConstraint(fields=("model", "group"), name="access_once_a_group")],
            },
        ),
        migrations.CreateModel(
            name="ModelPrice",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=registry.models.base.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("updated_at", models.DateTimeField(auto_now=True)),
                ("effective_from", models.DateTimeField(default=django.utils.timezone.now)),
                (
                    "input_per_1m",
                    models.DecimalField(
                        blank=True,
                        decimal_places=6,
                        max_digits=14,
                        null=True,
                        validators=[django.core.validators.MinValueValidator(Decimal("0"))],
                    ),
                ),
                (
                    "output_per_1m",
                    models.DecimalField(
                        blank=True,
                        decimal_places=6,
                        max_digits=14,
                        null=True,
                        validators=[django.core.validators.MinValueValidator(Decimal("0"))],
                    ),
                ),
                (
                    "cache_read_per_1m",
                    models.DecimalField(
                        blank=True,
                        decimal_places=6,
                        max_digits=14,
                        null=True,
                        validators=[django.core.validators.MinValueValidator(Decimal("0"))],
                    ),
                ),
                (
                    "cache_write_per_1m",
                    models.DecimalField(
                        blank=True,
                        decimal_places=6,
                        max_digits=14,
                        null=True,
                        validators=[django.core.validators.MinValueValidator(Decimal("0"))],
                    ),
                ),
                (
                    "cache_write_1h_per_1m",
                    models.DecimalField(
                        blank=True,
                        decimal_places=6,
                        max_digits=14,
                        null=True,
                        validators=[django.core.validators.MinValueValidator(Decimal("0"))],
                    ),
                ),
                (
                    "reasoning_per_1m",
                    models.DecimalField(
                        blank=True,
                        decimal_places=6,
                        max_digits=14,
                        null=True,
                        validators=[django.core.validators.MinValueValidator(Decimal("0"))],
                    ),
                ),
                (
                    "audio_input_per_1m",
                    models.DecimalField(
                        blank=True,
                        decimal_places=6,
                        max_digits=14,
                        null=True,
                        validators=[django.core.validators.MinValueValidator(Decimal("0"))],
                    ),
                ),
                (
                    "audio_output_per_1m",
                    models.DecimalField(
                        blank=True,
                        decimal_places=6,
                        max_digits=14,
                        null=True,
                        validators=[django.core.validators.MinValueValidator(Decimal("0"))],
                    ),
                ),
                (
                    "image_input_per_1m",
                    models.DecimalField(
                        blank=True,
                        decimal_places=6,
                        max_digits=14,
                        null=True,
                        validators=[django.core.validators.MinValueValidator(Decimal("0"))],
                    ),
                ),
                (
                    "image_output_per_1m",
                    models.DecimalField(
                        blank=True,
                        decimal_places=6,
                        max_digits=14,
                        null=True,
                        validators=[django.core.validators.MinValueValidator(Decimal("0"))],
                    ),
                ),
                (
                    "per_request",
                    models.DecimalField(
                        blank=True,
                        decimal_places=6,
                        max_digits=14,
                        null=True,
                        validators=[django.core.validators.MinValueValidator(Decimal("0"))],
                    ),
                ),
                (
                    "per_image",
                    models.DecimalField(
                        blank=True,
                        decimal_places=6,
                        max_digits=14,
                        null=True,
                        validators=[django.core.validators.MinValueValidator(Decimal("0"))],
                    ),
                ),
                ("source", models.CharField(default="admin", max_length=80)),
                (
                    "model",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="prices", to="registry.llmmodel"
                    ),
                ),
            ],
            options={
                "ordering": ("model", "-effective_from"),
                "constraints": [
                    models.UniqueConstraint(fields=("model", "effective_from"), name="price_one_a_moment"),
                    models.CheckConstraint(
                        condition=models.Q(("input_per_1m__isnull", True), ("input_per_1m__gte", 0), _connector="OR"),
                        name="price_input_per_1m_not_negative",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("output_per_1m__isnull", True), ("output_per_1m__gte", 0), _connector="OR"),
                        name="price_output_per_1m_not_negative",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("cache_read_per_1m__isnull", True), ("cache_read_per_1m__gte", 0), _connector="OR"
                        ),
                        name="price_cache_read_per_1m_not_negative",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("cache_write_per_1m__isnull", True), ("cache_write_per_1m__gte", 0), _connector="OR"
                        ),
                        name="price_cache_write_per_1m_not_negative",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("cache_write_1h_per_1m__isnull", True), ("cache_write_1h_per_1m__gte", 0), _connector="OR"
                        ),
                        name="price_cache_write_1h_per_1m_not_negative",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("reasoning_per_1m__isnull", True), ("reasoning_per_1m__gte", 0), _connector="OR"
                        ),
                        name="price_reasoning_per_1m_not_negative",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("audio_input_per_1m__isnull", True), ("audio_input_per_1m__gte", 0), _connector="OR"
                        ),
                        name="price_audio_input_per_1m_not_negative",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("audio_output_per_1m__isnull", True), ("audio_output_per_1m__gte", 0), _connector="OR"
                        ),
                        name="price_audio_output_per_1m_not_negative",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("image_input_per_1m__isnull", True), ("image_input_per_1m__gte", 0), _connector="OR"
                        ),
                        name="price_image_input_per_1m_not_negative",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("image_output_per_1m__isnull", True), ("image_output_per_1m__gte", 0), _connector="OR"
                        ),
                        name="price_image_output_per_1m_not_negative",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("per_request__isnull", True), ("per_request__gte", 0), _connector="OR"),
                        name="price_per_request_not_negative",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("per_image__isnull", True), ("per_image__gte", 0), _connector="OR"),
                        name="price_per_image_not_negative",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="Preset",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=registry.models.base.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("updated_at", models.DateTimeField(auto_now=True)),
                ("slug", models.SlugField(max_length=64)),
                ("name", models.CharField(max_length=120)),
                (
                    "module",
                    models.SlugField(
                        help_text="chat, translate, worldbuild, narrator, battle, json, ...", max_length=64
                    ),
                ),
                ("description", models.TextField(blank=True, max_length=2000)),
                ("options", models.JSONField(blank=True, default=dict)),
                ("is_module_default", models.BooleanField(default=False)),
                ("enabled", models.BooleanField(default=True)),
                (
                    "owner",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="presets",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "ordering": ("slug", "id"),
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("owner__isnull", True)), fields=("slug",), name="preset_slug_global"
                    ),
                    models.UniqueConstraint(
                        condition=models.Q(("owner__isnull", False)), fields=("owner", "slug"), name="preset_slug_owned"
                    ),
                    models.UniqueConstraint(
                        condition=models.Q(("is_module_default", True), ("owner__isnull", True)),
                        fields=("module",),
                        name="preset_one_default_a_module",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="PresetEntry",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=registry.models.base.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("updated_at", models.DateTimeField(auto_now=True)),
                ("position", models.PositiveSmallIntegerField()),
                ("model_ref", models.CharField(blank=True, max_length=200)),
                ("options", models.JSONField(blank=True, default=dict)),
                ("note", models.CharField(blank=True, max_length=300)),
                (
                    "model",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="preset_entries",
                        to="registry.llmmodel",
                    ),
                ),
                (
                    "preset",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="entries", to="registry.preset"
                    ),
                ),
            ],
            options={
                "verbose_name_plural": "preset entries",
                "ordering": ("preset", "position"),
                "constraints": [models.UniqueConstraint(fields=("preset", "position"), name="preset_entry_position")],
            },
        ),
        migrations.CreateModel(
            name="PromptPack",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=registry.models.base.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("updated_at", models.DateTimeField(auto_now=True)),
                ("module", models.SlugField(max_length=64)),
                (
                    "version",
                    models.PositiveIntegerField(default=1, validators=[django.core.validators.MinValueValidator(1)]),
                ),
                ("name", models.CharField(blank=True, max_length=120)),
                ("system_template", models.TextField(blank=True)),
                ("user_template", models.TextField(blank=True)),
                ("output_schema", models.JSONField(blank=True, null=True)),
                ("options", models.JSONField(blank=True, default=dict)),
                ("enabled", models.BooleanField(default=True)),
                (
                    "owner",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="prompt_packs",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "ordering": ("module", "-version"),
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("owner__isnull", True)),
                        fields=("module", "version"),
                        name="prompt_pack_version_global",
                    ),
                    models.UniqueConstraint(
                        condition=models.Q(("owner__isnull", False)),
                        fields=("owner", "module", "version"),
                        name="prompt_pack_version_owned",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="Route",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=registry.models.base.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("updated_at", models.DateTimeField(auto_now=True)),
                ("name", models.CharField(max_length=200)),
                ("description", models.TextField(blank=True, max_length=2000)),
                (
                    "strategy",
                    models.CharField(
                        choices=[
                            ("priority", "In order"),
                            ("weighted", "By weight"),
                            ("cheapest", "Cheapest first"),
                            ("fastest", "Fastest first"),
                        ],
                        default="priority",
                        max_length=16,
                    ),
                ),
                (
                    "sticky",
                    models.BooleanField(default=True, help_text="A conversation keeps the model it was given first."),
                ),
                ("enabled", models.BooleanField(default=True)),
                (
                    "owner",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="routes",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "ordering": ("name", "id"),
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("owner__isnull", True)), fields=("name",), name="route_name_global"
                    ),
                    models.UniqueConstraint(
                        condition=models.Q(("owner__isnull", False)), fields=("owner", "name"), name="route_name_owned"
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="RouteEntry",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=registry.models.base.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("updated_at", models.DateTimeField(auto_now=True)),
                ("position", models.PositiveSmallIntegerField(default=0)),
                ("weight", models.PositiveIntegerField(default=1)),
                ("is_fallback", models.BooleanField(default=False)),
                (
                    "model",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="route_entries",
                        to="registry.llmmodel",
                    ),
                ),
                (
                    "route",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="entries", to="registry.route"
                    ),
                ),
            ],
            options={
                "verbose_name_plural": "route entries",
                "ordering": ("route", "is_fallback", "position"),
                "constraints": [models.UniqueConstraint(fields=("route", "model"), name="route_entry_once")],
            },
        ),
        migrations.CreateModel(
            name="RuntimeRegistration",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=registry.models.base.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("updated_at", models.DateTimeField(auto_now=True)),
                ("slug", models.SlugField(max_length=64, unique=True)),
                ("provider", models.SlugField(max_length=64)),
                ("label", models.CharField(max_length=120)),
                ("modes", models.JSONField(default=list)),
                ("base_url", models.CharField(blank=True, max_length=500)),
                ("model_names", models.JSONField(blank=True, default=list)),
                ("expires_at", models.DateTimeField()),
                (
                    "owner",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "ordering": ("slug",),
            },
        ),
        migrations.CreateModel(
            name="UsageRecord",
            fields=[
                ("input_tokens", models.PositiveBigIntegerField(blank=True, null=True)),
                ("output_tokens", models.PositiveBigIntegerField(blank=True, null=True)),
                ("cache_read_tokens", models.PositiveBigIntegerField(blank=True, null=True)),
                ("cache_write_tokens", models.PositiveBigIntegerField(blank=True, null=True)),
                ("reasoning_tokens", models.PositiveBigIntegerField(blank=True, null=True)),
                ("cost", models.DecimalField(blank=True, decimal_places=9, max_digits=18, null=True)),
                (
                    "id",
                    models.UUIDField(
                        default=registry.models.base.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("request_id", models.CharField(max_length=64, unique=True)),
                ("username", models.CharField(blank=True, max_length=150)),
                ("token_name", models.CharField(blank=True, max_length=80)),
                ("model_name", models.CharField(blank=True, max_length=200)),
                ("upstream_model", models.CharField(blank=True, max_length=200)),
                ("provider_slug", models.CharField(blank=True, max_length=64)),
                (
                    "credential_scope",
                    models.CharField(
                        choices=[
                            ("own", "the caller's own key"),
                            ("shared", "a shared key"),
                            ("environment", "a key from the environment"),
                            ("none", "no key"),
                        ],
                        default="none",
                        max_length=16,
                    ),
                ),
                ("conversation_id", models.UUIDField(blank=True, null=True)),
                ("operation", models.CharField(default="chat", max_length=16)),
                ("dialect", models.CharField(blank=True, max_length=32)),
                ("streamed", models.BooleanField(default=False)),
                ("requested", models.CharField(blank=True, max_length=300)),
                ("reason", models.CharField(blank=True, max_length=300)),
                ("tags", models.JSONField(blank=True, default=list)),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("running", "running"),
                            ("ok", "ok"),
                            ("ok_estimated", "ok, usage estimated"),
                            ("aborted", "the client left"),
                            ("truncated", "the upstream broke off"),
                            ("timeout", "timed out"),
                            ("error", "failed"),
                            ("rejected", "never sent"),
                            ("abandoned", "the worker died"),
                        ],
                        default="running",
                        max_length=16,
                    ),
                ),
                ("error_code", models.CharField(blank=True, max_length=64)),
                ("http_status", models.PositiveSmallIntegerField(blank=True, null=True)),
                ("finish_reason", models.CharField(blank=True, max_length=32)),
                (
                    "usage_source",
                    models.CharField(
                        choices=[
                            ("provider", "reported by the provider"),
                            ("estimated", "estimated"),
                            ("none", "none"),
                        ],
                        default="none",
                        max_length=16,
                    ),
                ),
                (
                    "cost_status",
                    models.CharField(
                        choices=[("exact", "exact"), ("estimated", "estimated"), ("unpriced", "no price known")],
                        default="unpriced",
                        max_length=16,
                    ),
                ),
                ("cost_input", models.DecimalField(blank=True, decimal_places=9, max_digits=18, null=True)),
                ("cost_output", models.DecimalField(blank=True, decimal_places=9, max_digits=18, null=True)),
                ("cost_cache_read", models.DecimalField(blank=True, decimal_places=9, max_digits=18, null=True)),
                ("cost_cache_write", models.DecimalField(blank=True, decimal_places=9, max_digits=18, null=True)),
                ("cost_reasoning", models.DecimalField(blank=True, decimal_places=9, max_digits=18, null=True)),
                ("cost_image", models.DecimalField(blank=True, decimal_places=9, max_digits=18, null=True)),
                ("cost_fee", models.DecimalField(blank=True, decimal_places=9, max_digits=18, null=True)),
                ("provider_cost", models.DecimalField(blank=True, decimal_places=9, max_digits=18, null=True)),
                ("price_version", models.UUIDField(blank=True, null=True)),
                ("attempts", models.PositiveSmallIntegerField(default=0)),
                ("latency_ms", models.PositiveIntegerField(blank=True, null=True)),
                ("first_token_ms", models.PositiveIntegerField(blank=True, null=True)),
                ("created_at", models.DateTimeField()),
                ("settled_at", models.DateTimeField(blank=True, null=True)),
                (
                    "credential",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="usage_records",
                        to="registry.credential",
                    ),
                ),
                (
                    "model",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="usage_records",
                        to="registry.llmmodel",
                    ),
                ),
                (
                    "provider",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="usage_records",
                        to="registry.provider",
                    ),
                ),
                (
                    "token",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="usage_records",
                        to="registry.accesstoken",
                    ),
                ),
                (
                    "user",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="usage_records",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "ordering": ("-created_at", "-id"),
                "indexes": [
                    models.Index(fields=["-created_at", "-id"], name="usage_by_time"),
                    models.Index(fields=["user", "-created_at", "-id"], name="usage_by_user"),
                    models.Index(fields=["token", "-created_at"], name="usage_by_token"),
                    models.Index(fields=["model", "-created_at"], name="usage_by_model"),
                    models.Index(fields=["provider", "-created_at"], name="usage_by_provider"),
                    models.Index(
                        condition=models.Q(("state", "running")), fields=["created_at"], name="usage_still_running"
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="UsageAttempt",
            fields=[
                ("input_tokens", models.PositiveBigIntegerField(blank=True, null=True)),
                ("output_tokens", models.PositiveBigIntegerField(blank=True, null=True)),
                ("cache_read_tokens", models.PositiveBigIntegerField(blank=True, null=True)),
                ("cache_write_tokens", models.PositiveBigIntegerField(blank=True, null=True)),
                ("reasoning_tokens", models.PositiveBigIntegerField(blank=True, null=True)),
                ("cost", models.DecimalField(blank=True, decimal_places=9, max_digits=18, null=True)),
                (
                    "id",
                    models.UUIDField(
                        default=registry.models.base.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("number", models.PositiveSmallIntegerField()),
                ("model_name", models.CharField(blank=True, max_length=200)),
                ("provider_slug", models.CharField(blank=True, max_length=64)),
                (
                    "credential_scope",
                    models.CharField(
                        choices=[
                            ("own", "the caller's own key"),
                            ("shared", "a shared key"),
                            ("environment", "a key from the environment"),
                            ("none", "no key"),
                        ],
                        default="none",
                        max_length=16,
                    ),
                ),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("running", "running"),
                            ("ok", "ok"),
                            ("ok_estimated", "ok, usage estimated"),
                            ("aborted", "the client left"),
                            ("truncated", "the upstream broke off"),
                            ("timeout", "timed out"),
                            ("error", "failed"),
                            ("rejected", "never sent"),
                            ("abandoned", "the worker died"),
                        ],
                        default="running",
                        max_length=16,
                    ),
                ),
                ("error_code", models.CharField(blank=True, max_length=64)),
                ("upstream_status", models.PositiveSmallIntegerField(blank=True, null=True)),
                ("upstream_request_id", models.CharField(blank=True, max_length=200)),
                ("latency_ms", models.PositiveIntegerField(blank=True, null=True)),
                ("first_token_ms", models.PositiveIntegerField(blank=True, null=True)),
                ("started_at", models.DateTimeField()),
                (
                    "credential",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to="registry.credential",
                    ),
                ),
                (
                    "model",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to="registry.llmmodel",
                    ),
                ),
                (
                    "record",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="tries", to="registry.usagerecord"
                    ),
                ),
            ],
            options={
                "ordering": ("record", "number"),
                "constraints": [models.UniqueConstraint(fields=("record", "number"), name="attempt_number")],
            },
        ),
        migrations.CreateModel(
            name="UsageRollup",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=registry.models.base.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("hour", models.DateTimeField()),
                ("user_key", models.UUIDField(null=True)),
                ("username", models.CharField(blank=True, max_length=150)),
                ("token_key", models.UUIDField(null=True)),
                ("token_name", models.CharField(blank=True, max_length=80)),
                ("model_key", models.UUIDField(null=True)),
                ("model_name", models.CharField(blank=True, max_length=200)),
                ("provider_slug", models.CharField(blank=True, max_length=64)),
                ("credential_scope", models.CharField(blank=True, max_length=16)),
                ("digest", models.CharField(max_length=64)),
                ("calls", models.PositiveBigIntegerField(default=0)),
                ("errors", models.PositiveBigIntegerField(default=0)),
                ("input_tokens", models.PositiveBigIntegerField(default=0)),
                ("output_tokens", models.PositiveBigIntegerField(default=0)),
                ("cache_read_tokens", models.PositiveBigIntegerField(default=0)),
                ("reasoning_tokens", models.PositiveBigIntegerField(default=0)),
                ("cost", models.DecimalField(decimal_places=9, default=Decimal("0"), max_digits=20)),
                ("unpriced_calls", models.PositiveBigIntegerField(default=0)),
                ("latency_ms", models.PositiveBigIntegerField(default=0)),
                ("first_token_ms", models.PositiveBigIntegerField(default=0)),
                ("first_token_calls", models.PositiveBigIntegerField(default=0)),
            ],
            options={
                "indexes": [
                    models.Index(fields=["hour"], name="rollup_by_hour"),
                    models.Index(fields=["user_key", "hour"], name="rollup_by_user"),
                ],
                "constraints": [models.UniqueConstraint(fields=("digest",), name="rollup_once")],
            },
        ),
        migrations.CreateModel(
            name="UserSettings",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=registry.models.base.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                (
                    "key_policy",
                    models.CharField(
                        choices=[
                            ("own_first", "My own key first, then the shared one"),
                            ("own_only", "Only my own key"),
                            ("shared_only", "Only the shared key"),
                        ],
                        default="own_first",
                        max_length=16,
                    ),
                ),
                (
                    "time_zone",
                    models.CharField(
                        default="UTC", max_length=64, validators=[registry.models.user.validate_time_zone]
                    ),
                ),
                (
                    "default_model",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to="registry.llmmodel",
                    ),
                ),
                (
                    "user",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="settings",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "verbose_name_plural": "user settings",
            },
        ),
        migrations.CreateModel(
            name="Vote",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=registry.models.base.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("updated_at", models.DateTimeField(auto_now=True)),
                (
                    "experiment",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="votes", to="registry.experiment"
                    ),
                ),
                (
                    "owner",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="votes", to=settings.AUTH_USER_MODEL
                    ),
                ),
                (
                    "winner",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="votes_won",
                        to="registry.message",
                    ),
                ),
            ],
            options={
                "constraints": [models.UniqueConstraint(fields=("experiment", "owner"), name="vote_once")],
            },
        ),
        migrations.CreateModel(
            name="AuditEvent",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=registry.models.base.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("at", models.DateTimeField(auto_now_add=True)),
                ("actor_name", models.CharField(blank=True, max_length=150)),
                ("address", models.GenericIPAddressField(blank=True, null=True)),
                ("action", models.CharField(max_length=32)),
                ("table", models.CharField(max_length=63)),
                ("row", models.UUIDField(null=True)),
                ("label", models.CharField(blank=True, max_length=200)),
                ("before", models.JSONField(blank=True, default=dict)),
                ("after", models.JSONField(blank=True, default=dict)),
                (
                    "actor",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "ordering": ("-at", "-id"),
                "indexes": [
                    models.Index(fields=["-at", "-id"], name="audit_by_time"),
                    models.Index(fields=["table", "row"], name="audit_by_row"),
                ],
            },
        ),
        migrations.CreateModel(
            name="BudgetLease",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=registry.models.base.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("updated_at", models.DateTimeField(auto_now=True)),
                ("holder", models.CharField(max_length=80)),
                ("window_start", models.DateTimeField()),
                ("amount", models.DecimalField(decimal_places=9, max_digits=18)),
                ("expires_at", models.DateTimeField()),
                (
                    "budget",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="leases", to="registry.budget"
                    ),
                ),
            ],
            options={
                "indexes": [models.Index(fields=["expires_at"], name="lease_by_expiry")],
                "constraints": [
                    models.CheckConstraint(condition=models.Q(("amount__gte", 0)), name="lease_not_negative")
                ],
            },
        ),
        migrations.CreateModel(
            name="EndpointPolicy",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=registry.models.base.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("updated_at", models.DateTimeField(auto_now=True)),
                (
                    "target",
                    models.CharField(help_text="A host name, an address, or a network (10.0.0.0/8).", max_length=255),
                ),
                ("ports", models.JSONField(blank=True, default=list, help_text="Ports; an empty list opens all.")),
                (
                    "audience",
                    models.CharField(
                        choices=[
                            ("admins", "global providers, which admins edit"),
                            ("group", "the providers of a group's members"),
                            ("all", "everybody's providers"),
                        ],
                        default="admins",
                        max_length=8,
                    ),
                ),
                ("note", models.CharField(blank=True, max_length=300)),
                ("enabled", models.BooleanField(default=True)),
                ("expires_at", models.DateTimeField(blank=True, null=True)),
                (
                    "group",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="auth.group",
                    ),
                ),
            ],
            options={
                "verbose_name_plural": "endpoint policies",
                "ordering": ("target",),
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("audience", "group"), ("group__isnull", False)),
                            models.Q(models.Q(("audience", "group"), _negated=True), ("group__isnull", True)),
                            _connector="OR",
                        ),
                        name="policy_group_when_for_group",
                    )
                ],
            },
        ),
    ]
