"""Gemini beside chat: model lists, embeddings, images, token counts."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from adapters.errors import (
    ContentFilteredError,
    ModelNotFoundError,
    UnsupportedFeatureError,
    UpstreamProtocolError,
)
from adapters.types import (
    ChatRequest,
    EmbeddingRequest,
    ImagePart,
    ImageRequest,
    WireResponse,
)
from tests.adapters.gemini_values import (
    BASE,
    CODEC,
    HELLO,
    LEVEL,
    answer,
    target_for,
)

# --- models, embeddings, images, counts ----------------------------------------------------------------------------


def test_trap_53_the_list_has_pages_prefixes_and_models_that_do_not_chat() -> None:
    first = CODEC.build_list_models(target_for())
    assert first.url == f"{BASE}/models?pageSize=1000"
    assert CODEC.build_list_models(target_for(), cursor="a/b=").url.endswith("&pageToken=a%2Fb%3D")
    rows = [
        {"name": "models/gemini-x", "supportedGenerationMethods": ["generateContent"], "thinking": True},
        {"name": "models/embed-x", "displayName": "E", "supportedGenerationMethods": ["embedContent"]},
        {"name": "models/imagen-x", "supportedGenerationMethods": ["predict"]},
        {"name": "models/aqa", "supportedGenerationMethods": ["generateAnswer"]},
        {"no": "name"},
    ]
    body = json.dumps({"models": rows, "nextPageToken": "n"}).encode()
    page = CODEC.parse_list_models(WireResponse(status=200, headers={}, body=body), target_for())
    assert [model.id for model in page.models] == ["gemini-x", "embed-x", "imagen-x"]
    assert [model.capabilities["chat"] for model in page.models] == [True, False, False]
    assert page.models[0].capabilities["reasoning"] and page.models[1].capabilities["embeddings"]
    assert page.models[2].capabilities["images"] and page.next_cursor == "n"


@pytest.mark.parametrize(("body", "count"), [(b"{}", 0), (b'{"models": []}', 0)])
def test_an_empty_list_is_a_list(body: bytes, count: int) -> None:
    page = CODEC.parse_list_models(WireResponse(status=200, headers={}, body=body), target_for())
    assert len(page.models) == count and page.next_cursor is None


def embedded(*vectors: Any, **fields: Any) -> WireResponse:
    body = {"embeddings": [{"values": vector} for vector in vectors], **fields}
    return WireResponse(status=200, headers={}, body=json.dumps(body).encode())


def test_trap_54_every_input_is_a_request_of_its_own() -> None:
    asked_for = EmbeddingRequest(inputs=("a", "b"), dimensions=3)
    built = CODEC.build_embeddings(asked_for, target_for("gemini-embedding-001"))
    assert built.url == f"{BASE}/models/gemini-embedding-001:batchEmbedContents"
    entry = {"outputDimensionality": 3, "model": "models/gemini-embedding-001"}
    assert json.loads(built.body)["requests"] == [entry | {"content": {"parts": [{"text": t}]}} for t in "ab"]
    with pytest.raises(UnsupportedFeatureError):
        CODEC.build_embeddings(EmbeddingRequest(inputs=((1, 2),)), target_for("gemini-embedding-001"))


def test_vectors_that_were_cut_are_brought_back_to_length_1() -> None:
    found = CODEC.parse_embeddings(embedded([3.0, 4.0], [0, 0]), target_for())
    assert found.vectors == ((0.6000000000000001, 0.8), (0.0, 0.0))
    assert math.isclose(math.hypot(*found.vectors[0]), 1)
    assert not found.usage.reported


@pytest.mark.parametrize("vectors", [(), ([],), (["x"],)])
def test_embeddings_that_are_none_are_a_protocol_error(vectors: Any) -> None:
    with pytest.raises(UpstreamProtocolError):
        CODEC.parse_embeddings(embedded(*vectors), target_for())


def test_imagen_and_geminis_own_image_models_are_asked_differently() -> None:
    request = ImageRequest(prompt="a fox", size="1920x1080", quality="high")
    imagen = CODEC.build_images(request, target_for("imagen-4.0-generate-001"))
    assert imagen.url.endswith(":predict") and len(imagen.warnings) == 2
    assert json.loads(imagen.body) == {
        "instances": [{"prompt": "a fox"}],
        "parameters": {"sampleCount": 1, "aspectRatio": "16:9"},
    }
    own = CODEC.build_images(request, target_for("gemini-3-pro-image-preview"))
    assert own.url.endswith(":generateContent")
    assert json.loads(own.body)["generationConfig"] == {
        "responseModalities": ["IMAGE"],
        "imageConfig": {"aspectRatio": "16:9"},
    }
    with pytest.raises(UnsupportedFeatureError):
        CODEC.build_images(ImageRequest(prompt="x", n=2), target_for("gemini-3-pro-image-preview"))


def images(body: Any) -> Any:
    return CODEC.parse_images(WireResponse(status=200, headers={}, body=json.dumps(body).encode()), target_for())


def test_images_are_read_from_both() -> None:
    drawn = images({"predictions": [{"bytesBase64Encoded": "AA==", "mimeType": "image/jpeg"}]})
    assert drawn.images == (ImagePart(media_type="image/jpeg", data=b"\0"),)
    own = images(
        answer({"inlineData": {"mimeType": "image/png", "data": "AA=="}}, usageMetadata={"promptTokenCount": 4})
    )
    assert own.images == (ImagePart(media_type="image/png", data=b"\0"),) and own.usage.input_tokens == 4
    for refused in ({}, {"predictions": [{"raiFilteredReason": "x"}]}, answer(finish="IMAGE_SAFETY")):
        with pytest.raises(ContentFilteredError):
            images(refused)
    with pytest.raises(UpstreamProtocolError):
        images(answer({"text": "no"}))
    with pytest.raises(UpstreamProtocolError):
        images({"predictions": [{"bytesBase64Encoded": "!"}]})


def test_tokens_are_counted_without_answering() -> None:
    built = CODEC.build_count_tokens(ChatRequest(messages=HELLO), target_for())
    assert built.url.endswith(":countTokens")
    assert json.loads(built.body)["generateContentRequest"]["model"] == f"models/{LEVEL}"
    response = WireResponse(status=200, headers={}, body=b'{"totalTokens": 7}')
    assert CODEC.parse_count_tokens(response, target_for()) == 7
    with pytest.raises(UpstreamProtocolError):
        CODEC.parse_count_tokens(WireResponse(status=200, headers={}, body=b"{}"), target_for())


def test_an_image_request_says_what_it_left_out() -> None:
    odd = CODEC.build_images(ImageRequest(prompt="x", size="big", output_format="png"), target_for("imagen-4"))
    assert json.loads(odd.body)["parameters"] == {"sampleCount": 1, "outputOptions": {"mimeType": "image/png"}}
    own = CODEC.build_images(
        ImageRequest(prompt="x", size="auto", output_format="png"), target_for("gemini-3-pro-image")
    )
    assert json.loads(own.body)["generationConfig"] == {"responseModalities": ["IMAGE"]}
    assert len(odd.warnings) == len(own.warnings) == 1


@pytest.mark.parametrize("body", [b'{"models": 1}', b'{"nextPageToken": "x"}', b"[]"])
def test_a_list_that_is_none_is_a_protocol_error(body: bytes) -> None:
    with pytest.raises(UpstreamProtocolError):
        CODEC.parse_list_models(WireResponse(status=200, headers={}, body=body), target_for())


def test_a_model_that_does_not_say_what_it_does_is_listed() -> None:
    body = (
        b'{"models": [{"name": "models/a"}, {"name": "models/b", "supportedGenerationMethods": ["generateContent"]}]}'
    )
    page = CODEC.parse_list_models(WireResponse(status=200, headers={}, body=body), target_for())
    assert next(model.capabilities for model in page.models) == {}
    assert "reasoning" not in page.models[1].capabilities


def test_an_error_under_200_is_an_error_everywhere() -> None:
    broken = WireResponse(status=200, headers={}, body=b'{"error": {"status": "NOT_FOUND"}}')
    for parse in (CODEC.parse_list_models, CODEC.parse_embeddings, CODEC.parse_images):
        with pytest.raises(ModelNotFoundError):
            parse(broken, target_for())
