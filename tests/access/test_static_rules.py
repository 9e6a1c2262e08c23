"""What the code must not contain, read from the code: other ways out, raw SQL of input, things that run text."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.supply_chain import LOCKS, ROOT, start_up_files, unpinned

# Where each of these may stand, and why nowhere else.
CLIENTS = {"aiohttp", "httpx", "requests", "urllib3", "http.client", "urllib.request", "socket", "ssl", "ftplib"}
MAY_CONNECT = {
    "adapters/connections.py",  # the one way out
    "adapters/http1.py",
    "adapters/transport.py",
    "registry/web/oidc.py",  # `requests` in front, for allauth; the transport sends
    "adapters/httpx_transport.py",  # the same rules behind httpx's seam
    "llmhub/bootstrap.py",  # whether a port is free
    "llmhub/supervisor.py",  # whether the server listens yet
    "registry/catalog/endpoints.py",  # where the hub's own database is, to close it
}
MAY_START_PROCESSES = {"llmhub/bootstrap.py", "llmhub/supervisor.py", "registry/management/commands/serve.py"}
RUNS_TEXT = {"eval", "exec", "compile", "__import__"}
PLAINTEXT = {"reveal", "open"}  # of a credential and of a ciphertext


@cache
def trees() -> dict[str, ast.Module]:
    files = [path for room in ("adapters", "registry", "llmhub") for path in sorted((ROOT / room).rglob("*.py"))]
    names = {str(path.relative_to(ROOT)): path for path in files}
    return {
        name: ast.parse(path.read_text(encoding="utf-8")) for name, path in names.items() if "/migrations/" not in name
    }


def imports(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def calls(tree: ast.Module) -> Iterator[tuple[str, ast.Call]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            yield name, node


def test_only_the_transport_opens_connections() -> None:
    found = {name for name, tree in trees().items() if CLIENTS & set(imports(tree))}
    assert found <= MAY_CONNECT, found - MAY_CONNECT


def test_nothing_serves_requests_by_starting_a_process_or_by_unpickling() -> None:
    starting = {"subprocess", "multiprocessing", "pty"}
    found = {name for name, tree in trees().items() if starting & set(imports(tree))}
    # the workers of one server find out who they are; static files are collected beside the migration
    known = MAY_START_PROCESSES | {"registry/management/commands/prepare.py", "registry/gateway/draining.py"}
    assert found <= known, found - known
    assert not [name for name, tree in trees().items() if {"pickle", "marshal", "shelve", "dill"} & set(imports(tree))]


def test_nothing_runs_text() -> None:
    found = [
        (name, call.lineno)
        for name, tree in trees().items()
        for called, call in calls(tree)
        if called in RUNS_TEXT and isinstance(call.func, ast.Name)
    ]
    assert found == []


def test_no_sql_is_put_together_from_text() -> None:
    """A statement is a literal, or comes from constants of its module; values travel as parameters."""
    found = []
    for name, tree in trees().items():
        for called, call in calls(tree):
            if called in ("raw", "extra", "RawSQL"):
                found.append((name, call.lineno))
            if called in ("execute", "executemany") and call.args and isinstance(call.args[0], ast.BinOp):
                found.append((name, call.lineno))
    assert found == []


def test_one_function_opens_ciphertexts() -> None:
    """`CredentialSecret.open` is called by `Credential.reveal`, and the field's `decrypt` besides by rotation."""
    found = {
        (name, called)
        for name, tree in trees().items()
        for called, call in calls(tree)
        if called == "decrypt" and isinstance(call.func, ast.Attribute)
    }
    assert {name for name, _ in found} == {
        "registry/models/credential.py",
        "registry/vault/fields.py",
        "registry/vault/keyring.py",
        "registry/vault/second_factors.py",
        "registry/management/commands/rotate_encryption_keys.py",
    }


def test_nothing_but_the_vault_and_the_credential_reads_the_table_of_ciphertexts() -> None:
    found = {name for name, tree in trees().items() if any(one.endswith(".CredentialSecret") for one in imports(tree))}
    assert found == {
        "registry/management/commands/prepare.py",
        "registry/management/commands/rotate_encryption_keys.py",
        "registry/models/__init__.py",
    }


@pytest.mark.parametrize("lock", LOCKS)
def test_every_requirement_is_pinned_by_version_and_hash(lock: str) -> None:
    assert unpinned(ROOT / lock) == []


def test_a_requirement_without_a_hash_is_found(tmp_path: Path) -> None:
    lock = tmp_path / "lock.txt"
    lock.write_text("# made by hand\na==1 \\\n    --hash=sha256:00\nb==2\nc>=3 \\\n    --hash=sha256:00\n")
    assert unpinned(lock) == [f"lock.txt: {name} is not pinned by version and hash" for name in ("b==2", "c>=3 \\")]


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("litellm_init.pth", "import os; os.system('x')", True),
        ("distutils-precedence.pth", "import os; os.system('x')", True),
        ("a1_coverage.pth", "import sys; exec('x')", True),
        ("sitecustomize.py", "", True),
        ("usercustomize.py", "", True),
        ("_virtualenv.pth", "import _virtualenv", False),
        ("paths.pth", "/usr/lib/python3/dist-packages\n", False),
    ],
)
def test_what_runs_at_pythons_start_is_known_or_told(tmp_path: Path, name: str, text: str, told: bool) -> None:
    (tmp_path / name).write_text(text)
    assert bool(start_up_files(tmp_path)) == told
