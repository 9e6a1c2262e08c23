from __future__ import annotations

from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured

from llmhub.env import env_bool, env_int, env_list, env_path, env_secret

SECRET = "sk-planted-0123456789"


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SAMPLE", "SAMPLE_FILE"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(("text", "value"), [("1", True), ("Yes", True), (" on ", True), ("0", False), ("NO", False)])
def test_bool_reads_the_usual_words(monkeypatch: pytest.MonkeyPatch, text: str, value: bool) -> None:
    monkeypatch.setenv("SAMPLE", text)
    assert env_bool("SAMPLE", not value) is value


def test_bool_of_an_empty_variable_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAMPLE", "")
    assert env_bool("SAMPLE", True) is True


@pytest.mark.parametrize("text", ["-1", "1.5", "1_000", "٣", "ten", "101", "0"])
def test_int_outside_its_range_is_refused_by_name(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("SAMPLE", text)
    with pytest.raises(ImproperlyConfigured, match=r"^SAMPLE must be a whole number, from 1 to 100\.$"):
        env_int("SAMPLE", 5, minimum=1, maximum=100)


def test_bool_error_names_the_variable_and_not_the_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAMPLE", SECRET)
    with pytest.raises(ImproperlyConfigured) as caught:
        env_bool("SAMPLE", False)
    assert "SAMPLE" in str(caught.value)
    assert SECRET not in str(caught.value)


def test_list_drops_empty_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAMPLE", "a, b,,  ")
    assert env_list("SAMPLE") == ["a", "b"]


def test_path_becomes_absolute(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SAMPLE", "data")
    assert env_path("SAMPLE", Path("/unused")) == tmp_path / "data"


def test_secret_from_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "key").write_text(f"{SECRET}\n")
    monkeypatch.setenv("SAMPLE_FILE", str(tmp_path / "key"))
    assert env_secret("SAMPLE") == SECRET


def test_secret_falls_back_to_a_file_that_exists(tmp_path: Path) -> None:
    assert env_secret("SAMPLE", fallback_file=tmp_path / "key") == ""
    (tmp_path / "key").write_text(SECRET)
    assert env_secret("SAMPLE", fallback_file=tmp_path / "key") == SECRET


def test_secret_named_twice_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAMPLE", SECRET)
    monkeypatch.setenv("SAMPLE_FILE", "/somewhere")
    with pytest.raises(ImproperlyConfigured, match="either SAMPLE or SAMPLE_FILE"):
        env_secret("SAMPLE")


@pytest.mark.parametrize("content", [None, b"", b"\n", b"\xff\xfe\xff"])
def test_unusable_secret_file_is_refused_without_its_content(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: bytes | None
) -> None:
    if content is not None:
        (tmp_path / "key").write_bytes(content)
    monkeypatch.setenv("SAMPLE_FILE", str(tmp_path / "key"))
    with pytest.raises(ImproperlyConfigured, match="SAMPLE_FILE") as caught:
        env_secret("SAMPLE")
    assert caught.value.__cause__ is None
