"""Embeddings and images in OpenAI's dialect: what clients send, what providers answer, what clients get. Synthetic."""

from __future__ import annotations

import base64
import json
import struct
from typing import Any

import pytest

from adapters.errors import InvalidRequestError, UnsupportedFeatureError, UpstreamProtocolError
from adapters.kinds import profile_for
from adapters.openai_chat import OpenAIChatCodec
from adapters.openai_media_client import (
    encode_embeddings,
    encode_images,
    parse_embeddings_request,
    parse_images_request,
)
from adapters.types import (
    EmbeddingRequest,
    EmbeddingResponse,
    ImagePart,
    ImageRequest,
    ImageResponse,
    Target,
    Usage,
    WireResponse,
)

CODEC = OpenAIChatCodec()
TARGET = Target(
    kind="openai", base_url="https://api.test/v1", model="m", api_key="sk-1", profile=profile_for("openai", "m")
)


def reply(body: Any) -> WireResponse:
    return WireResponse(status=200, headers={}, body=json.dumps(body).encode())


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


# --- embeddings ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "inputs"),
    [("a", ("a",)), (["a", "b"], ("a", "b")), ([1, 2], ((1, 2),)), ([[1], [2, 3]], ((1,), (2, 3)))],
)
def test_texts_and_token_ids_are_read_and_sent(given: Any, inputs: Any) -> None:
    sent = {"model": "m", "input": given, "dimensions": 8, "user": "u", "brand_new": 1, "encoding_format": "base64"}
    asked = parse_embeddings_request(sent)
    assert (asked.model, asked.encoding, asked.request.inputs) == ("m", "base64", inputs)
    body = json.loads(CODEC.build_embeddings(asked.request, TARGET).body)
    plain = [one if isinstance(one, str) else list(one) for one in inputs]
    assert body == {"model": "m", "input": plain, "dimensions": 8, "user": "u", "brand_new": 1}
    assert json.loads(CODEC.build_embeddings(EmbeddingRequest(inputs=inputs), TARGET).body).keys() == {"model", "input"}


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"input": 5}, "input"),
        ({"input": []}, "input"),
        ({"input": ["a"] * 2049}, "input"),
        ({"input": ["a", ""]}, "input"),
        ({"input": ["a", 1]}, "input"),
        ({"input": [[1], []]}, "input"),
        ({"encoding_format": "hex"}, "encoding_format"),
    ],
)
def test_a_bad_embeddings_request_is_refused_by_name(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequestError) as refused:
        parse_embeddings_request({"model": "m", "input": "a"} | fields)
    assert refused.value.param == param


def test_vectors_are_put_in_order_whatever_form_they_come_in() -> None:
    rows = [
        {"index": 1, "embedding": b64(struct.pack("<2f", 0.5, 2.0))},
        {"index": 0, "embedding": [1, 0.25]},
    ]
    usage = {"prompt_tokens": 3, "total_tokens": 3}
    answer = CODEC.parse_embeddings(reply({"data": rows, "model": "served", "usage": usage}), TARGET)
    assert answer.vectors == ((1.0, 0.25), (0.5, 2.0))
    assert (answer.model, answer.usage.input_tokens) == ("served", 3)
    total_only = CODEC.parse_embeddings(reply({"data": [{"embedding": [1]}], "usage": {"total_tokens": 4}}), TARGET)
    assert (total_only.model, total_only.usage.input_tokens) == ("m", 4)
    silent = CODEC.parse_embeddings(reply({"data": [{"embedding": [1]}]}), TARGET)
    assert silent.usage == Usage()
    nothing = CODEC.parse_embeddings(reply({"data": [{"embedding": [1]}], "usage": {"total_tokens": "x"}}), TARGET)
    assert nothing.usage.input_tokens is None


@pytest.mark.parametrize("embedding", [None, [True], ["a"], "no base64!", b64(b"abc"), ""])
def test_an_embedding_that_is_no_vector_is_an_error(embedding: Any) -> None:
    with pytest.raises(UpstreamProtocolError):
        CODEC.parse_embeddings(reply({"data": [{"embedding": embedding}]}), TARGET)


@pytest.mark.parametrize("body", [{}, {"data": []}, [], {"data": [5]}])
def test_an_answer_without_embeddings_is_an_error(body: Any) -> None:
    with pytest.raises(UpstreamProtocolError):
        CODEC.parse_embeddings(reply(body), TARGET)


def test_clients_get_numbers_or_base64_and_the_counts() -> None:
    answer = EmbeddingResponse(
        model="served", vectors=((0.5, 2.0),), usage=Usage(input_tokens=3, provider_cost_usd="0.25")
    )
    body = encode_embeddings(answer, model="alias", encoding="float")
    assert body["data"] == [{"object": "embedding", "index": 0, "embedding": (0.5, 2.0)}]
    assert (body["model"], body["usage"]) == ("alias", {"prompt_tokens": 3, "total_tokens": 3, "cost": 0.25})
    packed = encode_embeddings(answer, model="alias", encoding="base64")["data"][0]["embedding"]
    assert struct.unpack("<2f", base64.b64decode(packed)) == (0.5, 2.0)


def test_another_dialects_own_fields_are_refused() -> None:
    with pytest.raises(UnsupportedFeatureError, match="taskType"):
        CODEC.build_embeddings(
            EmbeddingRequest(inputs=("a",), extra={"taskType": "X"}, dialect="gemini.generate_content"), TARGET
        )
    with pytest.raises(UnsupportedFeatureError, match="style"):
        CODEC.build_images(ImageRequest(prompt="a", extra={"style": "X"}, dialect="ollama.chat"), TARGET)


# --- images --------------------------------------------------------------------------------------------------------


def test_an_image_request_is_read_and_sent() -> None:
    sent = {
        "model": "m",
        "prompt": "a cat",
        "n": 2,
        "size": "1024x1024",
        "quality": "high",
        "output_format": "webp",
        "response_format": "b64_json",
        "background": "opaque",
        "user": "u",
        "moderation": "low",
    }
    asked = parse_images_request(sent)
    assert json.loads(CODEC.build_images(asked.request, TARGET).body) == sent


@pytest.mark.parametrize(
    ("fields", "param"), [({"stream": True}, "stream"), ({"response_format": "hex"}, "response_format")]
)
def test_a_bad_image_request_is_refused_by_name(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequestError) as refused:
        parse_images_request({"model": "m", "prompt": "a"} | fields)
    assert refused.value.param == param


@pytest.mark.parametrize(
    ("data", "output_format", "media_type"),
    [
        (b"\x89PNG..", None, "image/png"),
        (b"\xff\xd8\xff", "png", "image/jpeg"),
        (b"unknown", "avif", "image/avif"),
        (b"unknown", "../x", "image/png"),
    ],
)
def test_the_type_of_an_image_is_what_its_bytes_say(data: bytes, output_format: Any, media_type: str) -> None:
    body = {"data": [{"b64_json": b64(data)}], "output_format": output_format}
    assert CODEC.parse_images(reply(body), TARGET).images == (ImagePart(media_type=media_type, data=data),)


def test_images_come_as_bytes_or_addresses_with_their_prompts_and_usage() -> None:
    rows = [{"url": "https://example.org/a.png", "revised_prompt": "a tabby"}, {"b64_json": b64(b"\x89PNG")}, 5, {}]
    usage = {"input_tokens": 5, "output_tokens": 100, "input_tokens_details": {"image_tokens": 2}}
    answer = CODEC.parse_images(reply({"data": rows, "created": 7, "usage": usage}), TARGET)
    assert [image.url for image in answer.images] == ["https://example.org/a.png", None]
    assert (answer.created, answer.revised_prompts) == (7, ("a tabby", None))
    # Without details, all that an image call puts out is image tokens.
    assert (answer.usage.image_output_tokens, answer.usage.image_input_tokens) == (100, 2)
    detailed = usage | {"output_tokens_details": {"image_tokens": 90, "text_tokens": 10}}
    assert CODEC.parse_images(reply({"data": rows, "usage": detailed}), TARGET).usage.image_output_tokens == 90
    assert CODEC.parse_images(reply({"data": rows, "created": "x"}), TARGET).usage == Usage()


@pytest.mark.parametrize("body", [[], {}, {"data": []}, {"data": [{"url": ""}]}, {"data": [{"b64_json": "%"}]}])
def test_an_answer_without_an_image_is_an_error(body: Any) -> None:
    with pytest.raises(UpstreamProtocolError):
        CODEC.parse_images(reply(body), TARGET)


def test_clients_get_images_as_they_came() -> None:
    inline = ImagePart(media_type="image/svg+xml", data=b"<svg")
    usage = Usage(input_tokens=5, output_tokens=7, image_input_tokens=2, provider_cost_usd="0.04")
    answer = ImageResponse(images=(inline,), created=7, revised_prompts=("a tabby",), usage=usage)
    assert encode_images(answer) == {
        "created": 7,
        "data": [{"b64_json": b64(b"<svg"), "revised_prompt": "a tabby"}],
        "output_format": "svg",
        "usage": {
            "input_tokens": 5,
            "output_tokens": 7,
            "total_tokens": 12,
            "input_tokens_details": {"text_tokens": 3, "image_tokens": 2},
            "cost": 0.04,
        },
    }
    linked = encode_images(ImageResponse(images=(ImagePart(url="https://example.org/a.png"),)))
    assert linked["data"] == [{"url": "https://example.org/a.png"}]
    assert linked["created"] > 0 and "usage" not in linked and "output_format" not in linked
    counted = encode_images(ImageResponse(images=(inline,), usage=Usage(output_tokens=7)))
    assert counted["usage"] == {"input_tokens": 0, "output_tokens": 7, "total_tokens": 7}
