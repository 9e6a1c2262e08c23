"""Each thing a client can ask for, at each kind of provider: sent, named as left out, or refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from adapters.kinds import KINDS
from tests.adapters.operations import LEFT_OUT, REFUSED, SETTINGS, YES, operations, outcome, table

ROOT = Path(__file__).resolve().parents[2]
CALLED = sorted(set(KINDS) - {"stub"})


def test_the_document_says_what_the_code_does() -> None:
    assert (ROOT / "docs/operations.md").read_text() == table(), "python -m tests.adapters.operations writes it anew"


@pytest.mark.parametrize("kind", CALLED)
def test_a_stream_is_asked_for_the_same_as_a_whole_answer(kind: str) -> None:
    differing = [name for name in SETTINGS if outcome(kind, name) != outcome(kind, name, stream=True)]
    assert differing == []


@pytest.mark.parametrize("kind", CALLED)
def test_what_every_provider_has_is_sent_to_every_provider(kind: str) -> None:
    outcomes = dict(operations(kind))
    for name in ("chat", "streamed chat", "tools", "tool results", "JSON object", "stop", "temperature"):
        assert outcomes[name] == YES
    for name in ("JSON schema", "one tool forced", "image by URL", "image as data", "n", "logprobs", "audio", "PDF"):
        assert outcomes[name] in (YES, REFUSED), f"an answer without {name} is not what was asked"
    assert set(outcomes.values()) <= {YES, LEFT_OUT, REFUSED}
