"""rotate_encryption_keys: every secret ends under the first key, whatever happens on the way."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command
from django.db import connection

from registry.management.commands.rotate_encryption_keys import encrypted_columns, rotate_row, stale_rows
from registry.models import Credential, CredentialSecret, CredentialState, Provider
from registry.vault.keyring import new_key
from registry.vault.row_security import MAINTENANCE, secrets_of

OLD, NEW, LOST = f"old:{new_key()}", f"new:{new_key()}", f"lost:{new_key()}"


def plant(count: int, ring: str, settings: Any, *, label: str = "k") -> list[Credential]:
    settings.LLMHUB_ENCRYPTION_KEYS = ring
    provider, _ = Provider.objects.get_or_create(
        slug="p", defaults={"name": "P", "adapter": "openai", "base_url": "https://api.openai.com/v1"}
    )
    made = []
    for number in range(count):
        credential = Credential(provider=provider, label=f"{label}{number}")
        credential.set_secret(f"sk-planted-{label}-{number:08}", {"X-Extra": f"value-{number}"})
        made.append(credential)
    return made


def rotate(*arguments: str) -> str:
    out = io.StringIO()
    call_command("rotate_encryption_keys", *arguments, stdout=out)
    return out.getvalue()


def key_ids() -> set[str]:
    with secrets_of(MAINTENANCE):
        return {row.ciphertext.split(":")[1] for row in CredentialSecret.objects.all()}


def test_the_encrypted_columns_are_found_by_type() -> None:
    assert (CredentialSecret, "ciphertext") in {(model, field.name) for model, field in encrypted_columns()}


@pytest.mark.django_db
@pytest.mark.parametrize("batch", ["1", "3", "200"])
def test_all_rows_move_to_the_first_key_and_open_with_it_alone(settings: Any, batch: str) -> None:
    plant(7, OLD, settings)
    settings.LLMHUB_ENCRYPTION_KEYS = f"{NEW},{OLD}"
    assert "7 re-encrypted with key new" in rotate("--batch", batch)
    settings.LLMHUB_ENCRYPTION_KEYS = NEW
    for credential in Credential.objects.select_related("provider"):
        secret = credential.reveal(credential.owner_id)
        number = credential.label.removeprefix("k")
        assert secret.api_key == f"sk-planted-k-{int(number):08}"
        assert secret.headers == {"X-Extra": f"value-{number}"}
    assert "0 re-encrypted" in rotate()


@pytest.mark.django_db
def test_output_names_no_secret(settings: Any) -> None:
    plant(2, OLD, settings)
    settings.LLMHUB_ENCRYPTION_KEYS = f"{NEW},{OLD}"
    out = rotate()
    assert "sk-planted" not in out and NEW.split(":")[1] not in out


@pytest.mark.django_db
def test_rows_that_do_not_open_are_marked_and_the_rest_is_done(settings: Any) -> None:
    lost = plant(2, LOST, settings, label="lost")
    plant(3, OLD, settings)
    settings.LLMHUB_ENCRYPTION_KEYS = f"{NEW},{OLD}"
    with pytest.raises(CommandError, match="2 rows could not be opened") as caught:
        rotate("--batch", "2")
    assert caught.value.returncode == 1
    states = Credential.objects.values_list("state", flat=True)
    assert sorted(states) == sorted([CredentialState.OK] * 3 + [CredentialState.UNDECRYPTABLE] * 2)
    assert key_ids() == {"new", "lost"}
    settings.LLMHUB_ENCRYPTION_KEYS = f"{NEW},{LOST}"
    assert "2 re-encrypted" in rotate()
    assert {Credential.objects.get(pk=row.pk).state for row in lost} == {CredentialState.OK}


@pytest.mark.django_db
def test_a_key_replaced_meanwhile_is_not_overwritten(settings: Any) -> None:
    [credential] = plant(1, OLD, settings)
    settings.LLMHUB_ENCRYPTION_KEYS = f"{NEW},{OLD}"
    [(model, field)] = [pair for pair in encrypted_columns() if pair[0] is CredentialSecret]
    with secrets_of(MAINTENANCE):
        [stale] = stale_rows(model, field)
    credential.set_secret("sk-replaced-by-its-owner-1")
    with secrets_of(MAINTENANCE):
        assert rotate_row(stale, field) == "changed"
    assert Credential.objects.get().reveal(None).api_key == "sk-replaced-by-its-owner-1"


@pytest.mark.django_db(transaction=True)
def test_a_killed_run_is_taken_up_again(settings: Any) -> None:
    """Killed after its first lines, on the test database itself; the next run does what is left."""
    total = 300
    plant(total, OLD, settings)
    ring = f"{NEW},{OLD}"
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command("--batch", "1"), env=environment(ring), **pipes) as running:
        assert running.stdout is not None and running.stderr is not None
        lines = [running.stdout.readline() for _ in range(3)]
        running.send_signal(signal.SIGKILL)
        said = running.stderr.read()
        running.wait(timeout=30)
    assert "of 300" in lines[-1], (lines, said)
    with secrets_of(MAINTENANCE):
        done = CredentialSecret.objects.filter(ciphertext__startswith="llmhub1:new:").count()
    assert 0 < done < total
    finished = subprocess.run(command(), env=environment(ring), capture_output=True, text=True, timeout=60, check=False)
    assert finished.returncode == 0, finished.stderr
    assert f"{total - done} re-encrypted" in finished.stdout
    settings.LLMHUB_ENCRYPTION_KEYS = NEW
    keys = {
        credential.reveal(credential.owner_id).api_key for credential in Credential.objects.select_related("provider")
    }
    assert keys == {f"sk-planted-k-{number:08}" for number in range(total)}


def command(*arguments: str) -> list[str]:
    return [sys.executable, str(settings.BASE_DIR / "manage.py"), "rotate_encryption_keys", *arguments]


def environment(ring: str) -> dict[str, str]:
    """This process's own database and secret key for another process."""
    name = str(connection.settings_dict["NAME"])
    server = os.environ.get("LLMHUB_TEST_DATABASE_URL", "")
    url = urlsplit(server)._replace(path=f"/{name}").geturl() if server else f"sqlite:///{name}"
    return os.environ | {
        "DJANGO_SETTINGS_MODULE": "llmhub.settings",
        "DATABASE_URL": url,
        "LLMHUB_ENCRYPTION_KEYS": ring,
        "DJANGO_SECRET_KEY": settings.SECRET_KEY,
    }
