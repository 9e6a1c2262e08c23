"""OpenAI's embeddings and image endpoints toward the hub's clients: reads their requests, writes the answers."""

from __future__ import annotations

import base64
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from adapters.client_fields import Fields, checked_text, refuse
from adapters.openai_media import encode_vector
from adapters.openai_messages import DIALECT
from adapters.types import EmbeddingRequest, EmbeddingResponse, ImagePart, ImageRequest, ImageResponse, Usage

__all__ = [
    "ClientEmbeddings",
    "ClientImages",
    "encode_embeddings",
    "encode_images",
    "parse_embeddings_request",
    "parse_images_request",
]

_MOST_INPUTS = 2048
_MOST_DIMENSIONS = 100_000
_MOST_IMAGES = 100
_LARGEST_TOKEN = 2**31 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientEmbeddings:
    """What a client asked to be embedded, and how it wants the vectors written."""

    model: str
    request: EmbeddingRequest
    encoding: Literal["float", "base64"] = "float"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientImages:
    model: str
    request: ImageRequest


def parse_embeddings_request(body: Mapping[str, Any]) -> ClientEmbeddings:
    """Read POST /v1/embeddings. Raises InvalidRequestError with `param` naming the field."""
    fields = Fields(body)
    encoding = fields.text("encoding_format") or "float"
    if encoding not in ("float", "base64"):
        refuse("encoding_format", "must be float or base64.")
    model = fields.required_text("model", longest=512)
    request = EmbeddingRequest(
        inputs=_parse_input(fields.take("input")),
        dimensions=fields.integer("dimensions", 1, _MOST_DIMENSIONS),
        user=fields.text("user", longest=512),
        extra=fields.rest(),
        dialect=DIALECT,
    )
    return ClientEmbeddings(model=model, request=request, encoding="base64" if encoding == "base64" else "float")


def _parse_input(value: Any) -> tuple[str, ...] | tuple[tuple[int, ...], ...]:
    """A text, texts, token ids, or lists of token ids; never a mixture."""
    if isinstance(value, str):
        value = [value]
    if not isinstance(value, list) or not value:
        refuse("input", "must be a text, a list of texts, or token ids, and not empty.")
    if all(map(_is_token, value)):
        return (tuple(value),)
    if len(value) > _MOST_INPUTS:
        refuse("input", f"takes up to {_MOST_INPUTS} inputs a request.")
    if all(isinstance(item, str) for item in value):
        if "" in value:
            refuse("input", "holds an empty text.")
        return tuple(checked_text(item, f"input[{n}]") for n, item in enumerate(value))
    if all(isinstance(item, list) and item and all(map(_is_token, item)) for item in value):
        return tuple(tuple(item) for item in value)
    refuse("input", "must be texts only, or lists of token ids only, and none of them empty.")


def _is_token(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _LARGEST_TOKEN


def encode_embeddings(
    response: EmbeddingResponse, *, model: str, encoding: Literal["float", "base64"]
) -> dict[str, Any]:
    """Build the answer; `base64` is little-endian float32, which OpenAI's SDKs ask for by themselves."""
    body: dict[str, Any] = {
        "object": "list",
        "data": [
            {
                "object": "embedding",
                "index": index,
                "embedding": encode_vector(vector) if encoding == "base64" else vector,
            }
            for index, vector in enumerate(response.vectors)
        ],
        "model": model,
    }
    tokens = response.usage.input_tokens or 0  # the dialect demands the counts
    return body | {"usage": {"prompt_tokens": tokens, "total_tokens": tokens} | _cost(response.usage)}


def parse_images_request(body: Mapping[str, Any]) -> ClientImages:
    """Read POST /v1/images/generations. Raises InvalidRequestError with `param` naming the field."""
    fields = Fields(body)
    if fields.flag("stream"):
        refuse("stream", "can't be true: images are answered whole.")
    response_format = fields.text("response_format")
    if response_format not in (None, "url", "b64_json"):
        refuse("response_format", "must be url or b64_json.")
    return ClientImages(
        model=fields.required_text("model", longest=512),
        request=ImageRequest(
            prompt=fields.required_text("prompt"),
            n=fields.integer("n", 1, _MOST_IMAGES),
            size=fields.text("size", longest=32),
            quality=fields.text("quality", longest=32),
            output_format=fields.text("output_format", longest=32),
            response_format=response_format,
            background=fields.text("background", longest=32),
            user=fields.text("user", longest=512),
            extra=fields.rest(),
            dialect=DIALECT,
        ),
    )


def encode_images(response: ImageResponse) -> dict[str, Any]:
    """Build the answer: each image as base64 where the hub has its bytes, else as the provider's URL."""
    prompts = response.revised_prompts or (None,) * len(response.images)
    body: dict[str, Any] = {
        "created": response.created or int(time.time()),
        "data": [
            _encode_image(image) | ({"revised_prompt": prompt} if prompt else {})
            for image, prompt in zip(response.images, prompts, strict=True)
        ],
    }
    kinds = {image.media_type for image in response.images if image.media_type}
    if len(kinds) == 1:
        body["output_format"] = kinds.pop().removeprefix("image/").removesuffix("+xml")
    return body | ({"usage": _image_usage(response.usage)} if response.usage.reported else {})


def _encode_image(image: ImagePart) -> dict[str, str]:
    if image.data is not None:
        return {"b64_json": base64.b64encode(image.data).decode("ascii")}
    return {"url": image.url or ""}


def _image_usage(usage: Usage) -> dict[str, Any]:
    body: dict[str, Any] = {
        "input_tokens": usage.input_tokens or 0,
        "output_tokens": usage.output_tokens or 0,
        "total_tokens": usage.total_tokens or 0,
    }
    # A detail that was not reported is left out: 0 would say that it was counted.
    if usage.image_input_tokens is not None:
        text = max(0, body["input_tokens"] - usage.image_input_tokens)
        body["input_tokens_details"] = {"text_tokens": text, "image_tokens": usage.image_input_tokens}
    return body | _cost(usage)


def _cost(usage: Usage) -> dict[str, float]:
    return {} if usage.provider_cost_usd is None else {"cost": float(usage.provider_cost_usd)}
