"""No recording is left out in silence: each is replayed by what its path asks for, or named here with the reason.

The suites beside this one know what their dialect's bytes mean; this one knows only that every byte has been read.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest

from adapters.base import ProviderCodec
from adapters.create import codec_for
from adapters.errors import LLMError
from adapters.kinds import KINDS, profile_for
from adapters.openai_chat import OpenAIChatCodec
from adapters.openai_chat_client import OpenAIChatClientCodec
from adapters.openai_media_client import parse_embeddings_request, parse_images_request
from adapters.openai_responses import OpenAIResponsesCodec
from adapters.types import Target
from tests.adapters.replay import ABSENT, Recording, assert_splits_agree, load

# What the end of a path asks for. The first that matches counts.
OPERATIONS = (
    ("chat", re.compile(r"/chat/completions$|/v1/messages$|:(?:stream)?generateContent$|^/api/chat$", re.I)),
    ("chat", re.compile(r"/responses$")),
    ("count", re.compile(r"/count_tokens$")),
    ("embeddings", re.compile(r"(?<!^/api)/embeddings$|:batchEmbedContents$|^/api/embed$")),
    ("images", re.compile(r"/images/generations$")),
    ("models", re.compile(r"/models$|^/api/tags$")),
)
# What no client can ask of the hub and the hub asks of no provider.
NOT_SPOKEN = (
    ("OpenAI's moderations", re.compile(r"/moderations$")),
    ("OpenAI's legacy completions", re.compile(r"/v1/completions$")),
    ("counting by Responses; the hub counts by Anthropic's and Gemini's own calls", re.compile(r"/input_tokens$")),
    ("deleting a fine-tuned model", re.compile(r"/v1/models/[^/]*ft-")),
    ("Gemini's interactions, a preview beside generateContent", re.compile(r"/interactions$")),
    (
        "Hugging Face's task pipelines, which are no chat",
        re.compile(r"^(?:/hf-inference)?/(?:models|pipeline)/(?!.*/chat/completions$)"),
    ),
    ("Ollama's raw completion and its old embeddings", re.compile(r"^/api/(?:generate|embeddings)$")),
    ("what a server says of itself", re.compile(r"^/(?:health|api/ps|api/version|api/v1/key)$")),
)
KIND_OF_FOLDER = {
    "azure": "azure_openai",
    "gemini_openai_compat": "openai_compatible",
    "gemini_embeddings": "gemini",
    "vertex_gemini": "gemini",
    "openai_embeddings": "openai",
    "openai_images": "openai",
    "openai_models": "openai",
    "openai_responses": "openai",
}
EVERY = load(".")

pytestmark = pytest.mark.skipif(not EVERY, reason=ABSENT)


def path_of(recording: Recording) -> str:
    return str(recording.content.get("path") or "").split("?")[0].replace("//", "/")


def operation_of(recording: Recording) -> str:
    path = path_of(recording)
    return next((name for name, pattern in OPERATIONS if pattern.search(path)), "")


def reason_of(recording: Recording) -> str:
    return next((reason for reason, pattern in NOT_SPOKEN if pattern.search(path_of(recording))), "")


def target_of(recording: Recording) -> Target:
    folders = recording.name.split("/")
    named = (KIND_OF_FOLDER.get(name, name) for name in folders[-2::-1])
    kind = next((name for name in named if name in KINDS), "openai_compatible")
    if kind == "ollama" and path_of(recording).startswith("/v1/"):
        kind = "openai_compatible"  # Ollama's second form
    model = str((recording.content.get("request_body") or {}).get("model") or "m")
    base_url = "https://api.test" if kind in ("anthropic", "ollama", "azure_openai") else "https://api.test/v1"
    auth = KINDS[kind].auth_type
    return Target(
        kind=kind,
        base_url=base_url,
        model=model,
        api_key="sk-test",
        auth_type=auth,
        profile=profile_for(kind, model),
        options=KINDS[kind].options,
        provider="here",
    )


def codec_of(recording: Recording) -> ProviderCodec:
    # Two fixtures lie under /responses and hold a chat's answer.
    if path_of(recording).endswith("/responses") and b'"chat.completion' not in recording.body:
        return OpenAIResponsesCodec()
    return codec_for(target_of(recording).kind)


def parameters(found: Iterable[Recording]) -> list[Any]:
    return [pytest.param(recording, id=recording.name) for recording in found]


REPLAYED = [recording for recording in EVERY if operation_of(recording)]


def test_every_recording_is_replayed_or_left_out_for_a_reason() -> None:
    unknown = [recording.name for recording in EVERY if not operation_of(recording) and not reason_of(recording)]
    assert unknown == []
    both = [recording.name for recording in REPLAYED if reason_of(recording)]
    assert both == []
    left_out = Counter(reason_of(recording) for recording in EVERY if not operation_of(recording))
    # Printed with -rP, so that the number that is claimed can be seen.
    print(f"{len(EVERY)} recordings, {len(REPLAYED)} replayed, {dict(left_out)}")
    assert len(REPLAYED) + left_out.total() == len(EVERY)
    assert left_out.total() <= len(EVERY) * 0.06


def is_stream(recording: Recording) -> bool:
    asked = (recording.content.get("request_body") or {}).get("stream")
    head = recording.body.lstrip()[:1]
    if recording.content["status"] >= 300 or operation_of(recording) != "chat":
        return False
    by_lines = path_of(recording) == "/api/chat" and asked is not False
    return head not in (b"{", b"[") or by_lines or ":streamgenerate" in path_of(recording).lower()


@pytest.mark.parametrize("recording", parameters(filter(is_stream, REPLAYED)))
def test_a_stream_gives_the_same_events_at_every_split(recording: Recording) -> None:
    codec, target = codec_of(recording), target_of(recording)
    assert assert_splits_agree(lambda: codec.stream_decoder(target), recording.body)


@pytest.mark.parametrize("recording", parameters(one for one in REPLAYED if not is_stream(one)))
def test_a_whole_body_is_read_by_the_codec_of_its_operation(recording: Recording) -> None:
    codec, target = codec_of(recording), target_of(recording)
    if recording.content["status"] >= 300:
        error = codec.parse_error(recording.response, target)
        assert error.upstream_status == recording.content["status"]
        assert not error.upstream_message or error.upstream_message not in str(error)
        return
    read = {
        "chat": codec.parse_response,
        "count": codec.parse_count_tokens,
        "embeddings": codec.parse_embeddings,
        "images": codec.parse_images,
        "models": codec.parse_list_models,
    }[operation_of(recording)]
    try:
        assert read(recording.response, target)
    except LLMError as error:
        assert b'"error"' in recording.body, error  # one inside a 200, at the top or in a choice, and nothing else


# --- what we would have sent: OpenAI's chat, for every provider that speaks it (the other suites have their own) ------

CHATS = [
    recording
    for recording in REPLAYED
    if path_of(recording).endswith("/chat/completions")
    and isinstance((recording.content.get("request_body") or {}).get("messages"), list)
]
# Content parts of Mistral's own, which OpenAI's dialect has no name for: refused by name, never dropped.
NOT_OPENAIS = re.compile(r'"type": ?"(?:document_url|thinking|reference)"')


@pytest.mark.parametrize("recording", parameters(CHATS))
def test_a_chat_request_is_sent_as_it_was_recorded(recording: Recording) -> None:
    sent = recording.content["request_body"]
    target = replace(target_of(recording), model=sent.get("model") or "m")
    if NOT_OPENAIS.search(json.dumps(sent)):
        with pytest.raises(LLMError, match="must be"):
            OpenAIChatClientCodec().parse_request(sent)
        return
    client = OpenAIChatClientCodec().parse_request(sent)
    built = codec_for(target.kind).build_request(client.request, target, stream=client.stream)
    ours, theirs = normal(json.loads(built.body), target), normal(sent, target)
    for warning in built.warnings:  # what a profile leaves out is said
        theirs.pop(warning.split(" ")[0], None)
    assert ours == theirs


MEDIA = [
    recording
    for recording in REPLAYED
    if re.search(r"/(?:embeddings|images/generations)$", path_of(recording)) and recording.content.get("request_body")
]


@pytest.mark.parametrize("recording", parameters(MEDIA))
def test_a_request_for_embeddings_or_images_is_sent_as_it_was_recorded(recording: Recording) -> None:
    sent, target = recording.content["request_body"], target_of(recording)
    codec = codec_for(target.kind)
    assert isinstance(codec, OpenAIChatCodec)
    if operation_of(recording) == "images":
        ours = json.loads(codec.build_images(parse_images_request(sent).request, target).body)
        assert ours == sent
        return
    ours = json.loads(codec.build_embeddings(parse_embeddings_request(sent).request, target).body)
    inputs = [sent["input"]] if isinstance(sent["input"], str) or isinstance(sent["input"][0], int) else sent["input"]
    # The hub reads the floats itself and writes them as its own client asked.
    assert ours | {"encoding_format": None} == sent | {"input": inputs, "encoding_format": None}


def normal(body: dict[str, Any], target: Target) -> dict[str, Any]:
    """One form for what means the same: defaults left out, older names of a field, texts as one string."""
    kept = {name: value for name, value in body.items() if value is not None and value != []}
    for name in ("model", "stream", "stream_options"):
        kept.pop(name, None)
    if kept.get("n") == 1:
        del kept["n"]
    limit = kept.pop("max_tokens", None) or kept.pop("max_completion_tokens", None)
    kept["limit"] = limit
    if kept.get("tool_choice") == "any":  # Mistral's word
        kept["tool_choice"] = "required"
    if isinstance(kept.get("reasoning"), dict) and set(kept["reasoning"]) == {"effort"}:
        kept["reasoning_effort"] = kept.pop("reasoning")["effort"]
    if "functions" in kept:  # before tools there were functions
        kept["tools"] = [{"function": function} for function in kept.pop("functions")]
        kept["tool_choice"] = kept.pop("function_call", None)
    kept["tools"] = [{"type": "function"} | tool for tool in kept.get("tools", ())]
    kept["messages"] = [normal_message(message, target) for message in body["messages"]]
    return kept


def normal_message(message: dict[str, Any], target: Target) -> dict[str, Any]:
    kept = {name: value for name, value in message.items() if value is not None and value not in ([], "")}
    if kept["role"] == "developer":
        kept["role"] = "system"
    if kept["role"] == "tool":
        kept.pop("name", None)  # OpenAI has no such field: the id says whose result it is
    if kept["role"] == "assistant" and not target.profile.reasoning_echo_field:
        for name in (
            "reasoning",
            "reasoning_content",
        ):  # a thought is no part of what was said; see `reasoning_echo_field`
            kept.pop(name, None)
    content = kept.get("content")
    if isinstance(content, list):
        content = [{name: value for name, value in part.items() if value is not None} for part in content]
        texts = [part["text"] for part in content if part.keys() == {"type", "text"}]
        kept["content"] = texts[0] if len(texts) == len(content) == 1 else content
    for call in kept.get("tool_calls", ()):
        call.pop("index", None)
        call.setdefault("type", "function")
    return kept
