"""Gemini's embeddings and images. Bodies and values only.

Images come from two kinds of model: Imagen behind `:predict`, and Gemini's own behind `:generateContent`.
"""

from __future__ import annotations

import base64
import binascii
import math
import re
from collections.abc import Mapping
from typing import Any, Final

from adapters.errors import ContentFilteredError, UnsupportedFeatureError, UpstreamProtocolError
from adapters.gemini_answers import read_response, read_usage
from adapters.types import (
    EmbeddingRequest,
    EmbeddingResponse,
    ImagePart,
    ImageRequest,
    ImageResponse,
    Target,
    Usage,
)

__all__ = ["embeddings_body", "images_body", "images_method", "read_embeddings", "read_images"]

_SIZE: Final = re.compile(r"([1-9][0-9]{0,4})[xX]([1-9][0-9]{0,4})")
_RATIOS: Final = {"1:1": 1.0, "4:3": 4 / 3, "3:4": 3 / 4, "16:9": 16 / 9, "9:16": 9 / 16}


def embeddings_body(request: EmbeddingRequest, target: Target) -> dict[str, Any]:
    """One entry of `requests` an input: two texts as two parts of one content would give one vector."""
    model = target.model if "/" in target.model else f"models/{target.model}"
    settings = dict(request.extra)
    if request.dimensions is not None:
        settings["outputDimensionality"] = request.dimensions
    requests = []
    for text in request.inputs:
        if not isinstance(text, str):
            raise UnsupportedFeatureError(
                "Gemini embeds text, not token ids", provider=target.provider, model=target.model, param="input"
            )
        requests.append({**settings, "model": model, "content": {"parts": [{"text": text}]}})
    return {"requests": requests}


def read_embeddings(body: Mapping[str, Any], target: Target) -> EmbeddingResponse:
    """Read vectors in the order of the inputs; one that was cut to fewer dimensions is brought back to length 1.

    Only gemini-embedding-2 and later report usage.
    """
    rows = body.get("embeddings")
    if not isinstance(rows, list) or not rows:
        raise UpstreamProtocolError("the provider answered without embeddings", provider=target.provider)
    vectors = tuple(_vector(row, target) for row in rows)
    usage = body.get("usageMetadata")
    return EmbeddingResponse(
        model=target.model, vectors=vectors, usage=read_usage(usage) if isinstance(usage, dict) else Usage()
    )


def _vector(row: Any, target: Target) -> tuple[float, ...]:
    values = row.get("values") if isinstance(row, dict) else None
    if not isinstance(values, list) or not values:
        raise UpstreamProtocolError("the provider sent an embedding that is no vector", provider=target.provider)
    if not all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        raise UpstreamProtocolError("the provider sent an embedding that is no vector", provider=target.provider)
    length = math.sqrt(math.fsum(value * value for value in values))
    # gemini-embedding-001 normalises its full size alone (ai.google.dev, embeddings, 2026-11-20).
    scale = 1.0 if length == 0 or abs(length - 1) < 1e-3 else 1 / length
    return tuple(float(value) * scale for value in values)


# --- images --------------------------------------------------------------------------------------------------------


def images_method(target: Target) -> str:
    return "predict" if _is_imagen(target) else "generateContent"


def _is_imagen(target: Target) -> bool:
    return target.model.removeprefix("models/").startswith("imagen")


def images_body(request: ImageRequest, target: Target) -> tuple[dict[str, Any], list[str]]:
    """The body, and what was left out."""
    names = ("quality", "response_format", "background", "user")
    warnings = [f"{name} was left out: Gemini has no such setting" for name in names if getattr(request, name)]
    ratio = _aspect_ratio(request.size, warnings)
    if _is_imagen(target):
        settings: dict[str, Any] = {"sampleCount": request.n or 1}
        if ratio:
            settings["aspectRatio"] = ratio
        if request.output_format:
            settings["outputOptions"] = {"mimeType": f"image/{request.output_format}"}
        return {**request.extra, "instances": [{"prompt": request.prompt}], "parameters": settings}, warnings
    if request.n is not None and request.n > 1:
        raise UnsupportedFeatureError(
            f"{target.model} draws one image a request", provider=target.provider, model=target.model, param="n"
        )
    if request.output_format:
        warnings.append("output_format was left out: Gemini's own image models choose it")
    config: dict[str, Any] = {"responseModalities": ["IMAGE"]}
    if ratio:
        config["imageConfig"] = {"aspectRatio": ratio}
    contents = [{"role": "user", "parts": [{"text": request.prompt}]}]
    return {**request.extra, "contents": contents, "generationConfig": config}, warnings


def _aspect_ratio(size: str | None, warnings: list[str]) -> str | None:
    """`1024x1536` as the nearest ratio: sizes are the model's own choice here."""
    if size is None or size == "auto":
        return None
    match = _SIZE.fullmatch(size)
    if match is None:
        warnings.append("size was left out: it is not WIDTHxHEIGHT")
        return None
    wanted = int(match[1]) / int(match[2])
    ratio = min(_RATIOS, key=lambda name: abs(_RATIOS[name] - wanted))
    warnings.append(f"size {size} sent as the aspect ratio {ratio}: Gemini takes no sizes")
    return ratio


def read_images(body: Mapping[str, Any], target: Target) -> ImageResponse:
    """Read either kind's answer; raises ContentFilteredError when a filter took every image."""
    predictions = body.get("predictions")
    if isinstance(predictions, list):
        images = tuple(_predicted(row) for row in predictions if isinstance(row, dict) and "bytesBase64Encoded" in row)
        usage, filtered = Usage(), any(isinstance(row, dict) and row.get("raiFilteredReason") for row in predictions)
    elif "candidates" in body or "promptFeedback" in body:
        answer = read_response(body, target)
        images = tuple(part for choice in answer.choices for part in choice.parts if isinstance(part, ImagePart))
        usage, filtered = answer.usage, answer.finish_reason == "content_filter"
    else:  # Imagen leaves `predictions` out when its filter took all
        images, usage, filtered = (), Usage(), True
    if images:
        return ImageResponse(images=images, revised_prompts=(None,) * len(images), usage=usage)
    if filtered:
        raise ContentFilteredError(
            f"{target.provider or target.kind} refused the content by its usage policy",
            provider=target.provider,
            model=target.model,
        )
    raise UpstreamProtocolError("the provider answered without an image", provider=target.provider)


def _predicted(row: Mapping[str, Any]) -> ImagePart:
    try:
        data = base64.b64decode(row["bytesBase64Encoded"], validate=True)
    except (binascii.Error, ValueError, TypeError):
        raise UpstreamProtocolError("the provider sent an image that is no base64") from None
    return ImagePart(data=data, media_type=str(row.get("mimeType") or "image/png"))
