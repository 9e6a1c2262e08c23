import django.db.models.deletion
import registry.models.base
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("auth", "0012_alter_user_first_name_max_length"),
        ("registry", "0010_token_rotation"),
    ]

    operations = [
        migrations.CreateModel(
            name="Invitation",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=registry.models.base.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("updated_at", models.DateTimeField(auto_now=True)),
                ("digest", models.CharField(editable=False, max_length=64, unique=True)),
                ("note", models.CharField(help_text="For whom it is.", max_length=120)),
                (
                    "rank",
                    models.CharField(
                        choices=[
                            ("viewer", "Viewer: looks at models and their own usage"),
                            ("user", "User: calls models, keeps keys and tokens"),
                            (
                                "manager",
                                "Manager: a user who invites people, keeps service accounts and sees everybody's usage",
                            ),
                            ("admin", "Admin: everything"),
                        ],
                        default="user",
                        max_length=16,
                        verbose_name="role",
                    ),
                ),
                ("expires_at", models.DateTimeField()),
                ("accepted_at", models.DateTimeField(blank=True, null=True)),
                ("revoked_at", models.DateTimeField(blank=True, null=True)),
            ],
            options={
                "ordering": ("-created_at", "-id"),
            },
        ),
        migrations.CreateModel(
            name="ProviderAccess",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=registry.models.base.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("updated_at", models.DateTimeField(auto_now=True)),
            ],
            options={
                "verbose_name_plural": "provider access",
            },
        ),
        migrations.AddField(
            model_name="user",
            name="is_service",
            field=models.BooleanField(
                default=False,
                help_text="A program's account: it has tokens and never signs in.",
                verbose_name="service account",
            ),
        ),
        migrations.AddField(
            model_name="user",
            name="role",
            field=models.CharField(
                choices=[
                    ("viewer", "Viewer: looks at models and their own usage"),
                    ("user", "User: calls models, keeps keys and tokens"),
                    (
                        "manager",
                        "Manager: a user who invites people, keeps service accounts and sees everybody's usage",
                    ),
                ],
                default="user",
                max_length=16,
            ),
        ),
        migrations.AddField(
            model_name="user",
            name="sponsor",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="service_accounts",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddConstraint(
            model_name="user",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("is_service", False), models.Q(("is_staff", False), ("is_superuser", False)), _connector="OR"
                ),
                name="user_service_is_no_admin",
            ),
        ),
        migrations.AddField(
            model_name="invitation",
            name="accepted_by",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddField(
            model_name="invitation",
            name="groups",
            field=models.ManyToManyField(blank=True, related_name="+", to="auth.group"),
        ),
        migrations.AddField(
            model_name="invitation",
            name="invited_by",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddField(
            model_name="provideraccess",
            name="group",
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name="+", to="auth.group"),
        ),
        migrations.AddField(
            model_name="provideraccess",
            name="provider",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE, related_name="access", to="registry.provider"
            ),
        ),
        migrations.AddConstraint(
            model_name="provideraccess",
            constraint=models.UniqueConstraint(fields=("provider", "group"), name="provider_access_once_a_group"),
        ),
    ]
