"""OpenAI's embeddings and image endpoints toward providers. Bodies and values only."""

from __future__ import annotations

import base64
import binascii
import struct
from dataclasses import replace
from typing import Any

from adapters.errors import UnsupportedFeatureError, UpstreamProtocolError
from adapters.openai_messages import DIALECT
from adapters.openai_usage import parse_usage, read_count
from adapters.types import (
    EmbeddingRequest,
    EmbeddingResponse,
    ImagePart,
    ImageRequest,
    ImageResponse,
    Target,
    Usage,
)

__all__ = ["decode_vector", "embeddings_body", "encode_vector", "images_body", "read_embeddings", "read_images"]

_SIGNATURES = (
    (b"\x89PNG", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF8", "image/gif"),
    (b"RIFF", "image/webp"),
    (b"<svg", "image/svg+xml"),
)


def embeddings_body(request: EmbeddingRequest, target: Target) -> dict[str, Any]:
    _own_extra_only(request, target)
    body: dict[str, Any] = {"model": target.model, "input": [_plain(item) for item in request.inputs]}
    if request.dimensions is not None:
        body["dimensions"] = request.dimensions
    if request.user is not None:
        body["user"] = request.user
    return {**request.extra, **body}


def _plain(item: str | tuple[int, ...]) -> str | list[int]:
    return item if isinstance(item, str) else list(item)


def read_embeddings(body: Any, target: Target) -> EmbeddingResponse:
    """Read vectors as numbers or as base64 of little-endian float32, put in the order of `index`."""
    rows = body.get("data") if isinstance(body, dict) else None
    if not isinstance(rows, list) or not rows:
        raise UpstreamProtocolError("the provider answered without embeddings", provider=target.provider)
    vectors: list[tuple[int, tuple[float, ...]]] = []
    for position, row in enumerate(rows):
        vector = decode_vector(row.get("embedding")) if isinstance(row, dict) else None
        if vector is None:
            raise UpstreamProtocolError("the provider sent an embedding that is no vector", provider=target.provider)
        index = row.get("index")
        vectors.append((index if isinstance(index, int) else position, vector))
    vectors.sort(key=lambda pair: pair[0])
    usage = body.get("usage")
    model = body.get("model")
    return EmbeddingResponse(
        model=model if isinstance(model, str) and model else target.model,
        vectors=tuple(vector for _, vector in vectors),
        usage=_embedding_usage(parse_usage(usage)) if isinstance(usage, dict) else Usage(),
    )


def _embedding_usage(usage: Usage) -> Usage:
    """Some servers fill in completion_tokens: 0, and some only total_tokens; an embedding has input and no more."""
    if usage.input_tokens is None:
        total = usage.raw.get("total_tokens")
        return Usage(input_tokens=total if isinstance(total, int) and total >= 0 else None, raw=usage.raw)
    return usage


def decode_vector(value: Any) -> tuple[float, ...] | None:
    """Numbers from a list, or from base64 of little-endian float32; None for anything else."""
    if isinstance(value, list):
        if all(isinstance(item, int | float) and not isinstance(item, bool) for item in value):
            return tuple(float(item) for item in value)
        return None
    if not isinstance(value, str):
        return None
    try:
        data = base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        return None
    return struct.unpack(f"<{len(data) // 4}f", data) if data and len(data) % 4 == 0 else None


def encode_vector(vector: tuple[float, ...]) -> str:
    """A vector for a client that asked `encoding_format: "base64"`, as OpenAI's SDKs do by default."""
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode("ascii")


def images_body(request: ImageRequest, target: Target) -> dict[str, Any]:
    _own_extra_only(request, target)
    settings = {
        "n": request.n,
        "size": request.size,
        "quality": request.quality,
        "output_format": request.output_format,
        "response_format": request.response_format,
        "background": request.background,
        "user": request.user,
    }
    body: dict[str, Any] = {"model": target.model, "prompt": request.prompt}
    body.update((name, value) for name, value in settings.items() if value is not None)
    return {**request.extra, **body}


def read_images(body: Any) -> ImageResponse:
    """Read images as base64 or URL; raises UpstreamProtocolError when there are none."""
    rows = body.get("data") if isinstance(body, dict) else None
    images: list[ImagePart] = []
    prompts: list[str | None] = []
    for row in rows if isinstance(rows, list) else ():
        image = _read_image(row, body.get("output_format"))
        if image is not None:
            images.append(image)
            revised = row.get("revised_prompt")
            prompts.append(revised if isinstance(revised, str) else None)
    if not images:
        raise UpstreamProtocolError("the provider answered without an image")
    usage, created = body.get("usage"), body.get("created")
    return ImageResponse(
        images=tuple(images),
        created=read_count(created) or None,
        revised_prompts=tuple(prompts),
        usage=_image_usage(parse_usage(usage)) if isinstance(usage, dict) else Usage(),
    )


def _image_usage(usage: Usage) -> Usage:
    """Without details, all that an image call puts out is image tokens (gpt-image-1 says no more)."""
    if usage.image_output_tokens is None and usage.output_tokens is not None:
        return replace(usage, image_output_tokens=usage.output_tokens)
    return usage


def _read_image(row: Any, output_format: Any) -> ImagePart | None:
    if not isinstance(row, dict):
        return None
    encoded, url = row.get("b64_json"), row.get("url")
    if isinstance(encoded, str) and encoded:
        try:
            data = base64.b64decode(encoded, validate=True)
        except (binascii.Error, ValueError):
            raise UpstreamProtocolError("the provider sent an image that is no base64") from None
        return ImagePart(data=data, media_type=_media_type(data, output_format))
    return ImagePart(url=url) if isinstance(url, str) and url else None


def _media_type(data: bytes, output_format: Any) -> str:
    for signature, media_type in _SIGNATURES:
        if data.startswith(signature):
            return media_type
    return f"image/{output_format}" if isinstance(output_format, str) and output_format.isalnum() else "image/png"


def _own_extra_only(request: EmbeddingRequest | ImageRequest, target: Target) -> None:
    if request.extra and request.dialect != DIALECT:
        raise UnsupportedFeatureError(
            f"{target.provider or target.kind} does not take the fields {', '.join(sorted(request.extra))}",
            provider=target.provider,
            model=target.model,
        )
