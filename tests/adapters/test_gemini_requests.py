"""What we send to Gemini: addresses, turns, signatures, settings, thinking, tools, formats."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from adapters import create_adapter
from adapters.errors import (
    ConfigurationError,
    UnsupportedFeatureError,
)
from adapters.gemini import DIALECT, GeminiCodec
from adapters.gemini_schema import openapi_schema
from adapters.kinds import profile_for
from adapters.openai_chat_client import OpenAIChatClientCodec
from adapters.types import (
    AudioPart,
    ChatRequest,
    FilePart,
    ImagePart,
    JsonFormat,
    JsonSchemaFormat,
    Message,
    NamedTool,
    ReasoningPart,
    RefusalPart,
    TextPart,
    ToolCall,
    ToolDefinition,
)
from tests.adapters.gemini_values import (
    BASE,
    BUDGET,
    HELLO,
    LEVEL,
    OLD,
    WEATHER,
    answer,
    asked,
    body_of,
    build,
    read,
    said,
    tool_call,
    turns,
)

# --- address and headers -------------------------------------------------------------------------------------------


def test_create_adapter_makes_a_working_codec() -> None:
    adapter = create_adapter("gemini", api_key="k", model="gemini-3.8-flash")
    assert isinstance(adapter.codec, GeminiCodec)
    assert adapter.target.base_url == BASE


def test_the_key_is_in_a_header_and_never_in_the_address() -> None:
    built = build(ChatRequest(messages=HELLO), stream=True)
    assert built.url == f"{BASE}/models/{LEVEL}:streamGenerateContent?alt=sse"
    assert built.headers["x-goog-api-key"] == "test-key"
    assert "authorization" not in built.headers


def test_a_bearer_token_takes_the_keys_place() -> None:
    vertex = "https://aiplatform.googleapis.com/v1/projects/p/locations/global/publishers/google"
    built = build(ChatRequest(messages=HELLO), base_url=vertex, auth_type="bearer")
    assert built.url == f"{vertex}/models/{LEVEL}:generateContent"
    assert built.headers["authorization"] == "Bearer test-key"
    assert "x-goog-api-key" not in built.headers


def test_a_credential_among_the_custom_headers_stands_alone() -> None:
    built = build(ChatRequest(messages=HELLO), headers={"X-Goog-Api-Key": "theirs"})
    assert built.headers["x-goog-api-key"] == "theirs"


def test_a_missing_key_is_a_configuration_error() -> None:
    with pytest.raises(ConfigurationError):
        build(ChatRequest(messages=HELLO), api_key=None)


@pytest.mark.parametrize("model", ["", "other/place", "models/"])
def test_a_model_that_is_no_gemini_model_is_a_configuration_error(model: str) -> None:
    with pytest.raises(ConfigurationError):
        build(ChatRequest(messages=HELLO), model)


def test_a_models_name_can_not_leave_its_place_in_the_path() -> None:
    assert "/models/..%2F..%2Fx%3Fkey:generate" in build(ChatRequest(messages=HELLO), "models/../../x?key").url
    assert "/tunedModels/mine:generate" in build(ChatRequest(messages=HELLO), "tunedModels/mine").url


# --- turns ---------------------------------------------------------------------------------------------------------


def test_leading_system_messages_become_the_instruction_and_later_ones_a_marked_text() -> None:
    messages = (said("system", "a"), said("system", "b"), *HELLO, said("system", "c"), said("assistant", "yes"))
    body = body_of(ChatRequest(messages=messages))
    assert body["systemInstruction"] == {"parts": [{"text": "a"}, {"text": "b"}]}
    assert body["contents"] == [
        {"role": "user", "parts": [{"text": "hi"}, {"text": "<system>c</system>"}]},
        {"role": "model", "parts": [{"text": "yes"}]},
    ]


def test_gemma_gets_the_system_message_in_its_first_turn() -> None:
    body = body_of(ChatRequest(messages=(said("system", "a"), *HELLO)), "gemma-3-27b-it")
    assert "systemInstruction" not in body
    assert body["contents"] == [{"role": "user", "parts": [{"text": "a"}, {"text": "hi"}]}]


def test_contents_are_never_empty() -> None:
    assert body_of(ChatRequest(messages=(said("system", "a"),))) == {
        "contents": [{"role": "user", "parts": [{"text": "a"}]}]
    }


def test_a_tools_result_carries_the_name_that_its_call_had() -> None:
    contents = turns(
        *HELLO,
        said("assistant", tool_call(id="a", signature="S"), tool_call("time", id="b")),
        said("tool", '{"degrees": 3}', tool_call_id="a"),
        said("tool", "noon", tool_call_id="b"),
        said("user", "and?"),
    )
    assert contents[2] == {
        "role": "user",
        "parts": [
            {"functionResponse": {"name": "weather", "response": {"degrees": 3}, "id": "a"}},
            {"functionResponse": {"name": "time", "response": {"output": "noon"}, "id": "b"}},
        ],
    }
    assert contents[3] == {"role": "user", "parts": [{"text": "and?"}]}


def test_a_failed_tool_says_so() -> None:
    contents = turns(*HELLO, said("assistant", tool_call()), said("tool", "no", tool_call_id="c1", is_error=True))
    assert contents[2]["parts"][0]["functionResponse"]["response"] == {"error": "no"}


def test_a_result_without_its_call_is_refused_unless_it_brings_the_name() -> None:
    with pytest.raises(UnsupportedFeatureError):
        turns(*HELLO, said("tool", "x", tool_call_id="lost"))
    assert turns(*HELLO, said("tool", "x", tool_call_id="lost", name="weather"))


@pytest.mark.parametrize(("model", "inside"), [(LEVEL, True), (BUDGET, False)])
def test_an_image_in_a_tools_result_goes_where_the_model_takes_it(model: str, inside: bool) -> None:
    picture = ImagePart(media_type="image/png", data=b"png")
    contents = turns(
        *HELLO, said("assistant", tool_call()), said("tool", "see", picture, tool_call_id="c1"), model=model
    )
    inline = {"inlineData": {"mimeType": "image/png", "data": base64.b64encode(b"png").decode()}}
    response = contents[2]["parts"][0]["functionResponse"]
    assert response.get("parts") == ([inline] if inside else None)
    assert len(contents) == (3 if inside else 4)
    if not inside:
        assert contents[3]["parts"][1] == inline


def test_arguments_that_are_no_object_are_wrapped() -> None:
    contents = turns(*HELLO, said("assistant", tool_call(arguments='{"cut": ')))
    assert contents[1]["parts"][0]["functionCall"]["args"] == {"_raw": '{"cut": '}


def test_images_audio_and_files_have_their_forms() -> None:
    parts = turns(
        said(
            "user",
            ImagePart(media_type="image/jpeg", data=b"j"),
            ImagePart(url="https://x.test/a.webp?size=1"),
            AudioPart(data=b"a", format="mp3"),
            FilePart(data=b"%PDF", filename="a.pdf"),
            FilePart(url="https://x.test/f", media_type="text/plain"),
            FilePart(file_id=f"{BASE}/files/1"),
        )
    )[0]["parts"]
    assert [next(iter(part)) for part in parts] == ["inlineData", "fileData", "inlineData", "inlineData"] + 2 * [
        "fileData"
    ]
    types = [next(iter(part.values())).get("mimeType") for part in parts]
    assert types == ["image/jpeg", "image/webp", "audio/mpeg", "application/pdf", "text/plain", None]


def test_other_vendors_marks_stay_here() -> None:
    theirs = {"anthropic": {"signature": "A", "cache_control": {}}}
    thought = ReasoningPart(text="hm", provider_metadata=theirs)
    contents = turns(*HELLO, said("assistant", thought, TextPart(text="yes", provider_metadata=theirs)))
    assert contents[1]["parts"] == [{"text": "yes"}]


def test_a_turn_that_said_nothing_stays_a_turn() -> None:
    assert [turn["role"] for turn in turns(*HELLO, said("assistant", ""), said("user", "?"))] == [
        "user",
        "model",
        "user",
    ]


def test_a_refusal_goes_back_as_text() -> None:
    assert turns(*HELLO, said("assistant", RefusalPart(text="no")))[1]["parts"] == [{"text": "no"}]


# --- signatures ----------------------------------------------------------------------------------------------------


def test_trap_33_a_signature_goes_back_on_its_own_part_only() -> None:
    body = answer(
        {"functionCall": {"name": "weather", "args": {"city": "Bonn"}, "id": "a"}, "thoughtSignature": "S1"},
        {"functionCall": {"name": "weather", "args": {}, "id": "b"}},
        {"text": "", "thoughtSignature": "S2"},
    )
    parts = turns(*HELLO, Message(role="assistant", parts=read(body).parts))[1]["parts"]
    assert parts == body["candidates"][0]["content"]["parts"]


def test_history_of_another_model_is_marked_where_signatures_are_checked() -> None:
    history = (*HELLO, said("assistant", tool_call(id="a"), tool_call(id="b")))
    marked = [part.get("thoughtSignature") for part in turns(*history)[1]["parts"]]
    assert marked == ["skip_thought_signature_validator", None]
    assert not any("thoughtSignature" in part for part in turns(*history, model=BUDGET)[1]["parts"])


def test_googles_own_convention_for_openai_clients_is_read() -> None:
    metadata = {"openai.chat": {"extra_content": {"google": {"thought_signature": "S"}}}}
    kept = ToolCall(id="a", name="weather", arguments="{}", provider_metadata=metadata)
    assert turns(*HELLO, said("assistant", kept))[1]["parts"][0]["thoughtSignature"] == "S"


def test_a_signature_survives_the_way_through_an_openai_client() -> None:
    reply = read(answer({"functionCall": {"name": "weather", "args": {}, "id": "a"}, "thoughtSignature": "S"}))
    client = OpenAIChatClientCodec()
    message = client.encode_response(reply, request_id="r", model="m")["choices"][0]["message"]
    again = client.parse_request({"messages": [{"role": "user", "content": "hi"}, message]}).request
    assert turns(*again.messages)[1]["parts"] == [
        {"functionCall": {"name": "weather", "args": {}, "id": "a"}, "thoughtSignature": "S"}
    ]


def test_a_part_without_a_type_of_ours_is_kept_whole() -> None:
    code = {"executableCode": {"language": "PYTHON", "code": "1"}, "thoughtSignature": "S"}
    reply = read(answer(code, {"text": "1"}))
    assert reply.text == "1"
    assert turns(*HELLO, Message(role="assistant", parts=reply.parts))[1]["parts"] == [code, {"text": "1"}]


# --- settings ------------------------------------------------------------------------------------------------------


def test_only_what_was_asked_is_sent() -> None:
    assert asked() == {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]}


def test_settings_have_geminis_names() -> None:
    config = asked(
        max_output_tokens=9,
        temperature=0.5,
        top_p=0.9,
        top_k=4,
        n=2,
        seed=7,
        stop=("END",),
        presence_penalty=0.1,
        frequency_penalty=0.2,
        logprobs=True,
        top_logprobs=3,
    )["generationConfig"]
    assert config == {
        "maxOutputTokens": 9,
        "temperature": 0.5,
        "topP": 0.9,
        "topK": 4,
        "candidateCount": 2,
        "seed": 7,
        "stopSequences": ["END"],
        "presencePenalty": 0.1,
        "frequencyPenalty": 0.2,
        "responseLogprobs": True,
        "logprobs": 3,
    }


def test_what_gemini_has_no_setting_for_is_named() -> None:
    request = ChatRequest(
        messages=HELLO, user="u", verbosity="low", tools=(WEATHER,), parallel_tool_calls=False, service_tier="scale"
    )
    assert len(build(request).warnings) == 4


def test_a_service_tier_has_a_field_of_its_own() -> None:
    assert asked(service_tier="flex")["serviceTier"] == "flex"
    assert "serviceTier" not in asked(service_tier="auto")


def test_fields_in_geminis_own_words_stand_beside_ours() -> None:
    own = {"generationConfig": {"responseModalities": ["TEXT"]}, "safetySettings": [1], "tools": [{"googleSearch": {}}]}
    body = asked(temperature=1.0, extra=own, dialect=DIALECT, tools=(WEATHER,))
    assert body["generationConfig"] == {"responseModalities": ["TEXT"], "temperature": 1.0}
    assert body["safetySettings"] == [1]
    assert [next(iter(tool)) for tool in body["tools"]] == ["googleSearch", "functionDeclarations"]


@pytest.mark.parametrize(
    "settings",
    [
        {"extra": {"store": True}, "dialect": "openai.chat"},
        {"stop": tuple("abcdef")},
        {"reasoning_effort": "enormous"},
        {"messages": (said("system", ImagePart(url="https://x.test/a.png")), *HELLO)},
    ],
)
def test_what_can_not_be_carried_is_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(UnsupportedFeatureError):
        body_of(ChatRequest(**{"messages": HELLO} | settings))


@pytest.mark.parametrize(
    ("model", "effort", "expected"),
    [
        (LEVEL, "none", {"thinkingLevel": "LOW", "includeThoughts": False}),
        (LEVEL, "minimal", {"thinkingLevel": "LOW", "includeThoughts": True}),
        (LEVEL, "medium", {"thinkingLevel": "MEDIUM", "includeThoughts": True}),
        (LEVEL, "max", {"thinkingLevel": "HIGH", "includeThoughts": True}),
        ("gemini-3.5-flash", "minimal", {"thinkingLevel": "MINIMAL", "includeThoughts": True}),
        ("gemini-3-pro-preview", "medium", {"thinkingLevel": "HIGH", "includeThoughts": True}),
        ("gemini-4-argon", "xhigh", {"thinkingLevel": "HIGH", "includeThoughts": True}),
        (BUDGET, "none", {"thinkingBudget": 0}),
        (BUDGET, "low", {"thinkingBudget": 1024, "includeThoughts": True}),
        (BUDGET, "max", {"thinkingBudget": 24576, "includeThoughts": True}),
        ("gemini-2.5-pro", "none", {"thinkingBudget": 128, "includeThoughts": False}),
        ("gemini-2.5-pro", "max", {"thinkingBudget": 32768, "includeThoughts": True}),
        (OLD, "high", None),
        ("gemma-3-27b-it", "none", None),
    ],
)
def test_an_effort_becomes_what_the_family_takes(model: str, effort: str, expected: Any) -> None:
    assert asked(model, reasoning_effort=effort).get("generationConfig", {}).get("thinkingConfig") == expected


# --- tools and formats ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("choice", "mode"),
    [
        ("auto", {"mode": "AUTO"}),
        ("none", {"mode": "NONE"}),
        ("required", {"mode": "ANY"}),
        (NamedTool(name="weather"), {"mode": "ANY", "allowedFunctionNames": ["weather"]}),
    ],
)
def test_a_tool_choice_is_a_mode(choice: Any, mode: dict[str, Any]) -> None:
    assert asked(tools=(WEATHER,), tool_choice=choice)["toolConfig"] == {"functionCallingConfig": mode}


def test_newer_models_get_the_schema_as_it_is() -> None:
    assert asked(tools=(WEATHER, ToolDefinition(name="now")))["tools"] == [
        {
            "functionDeclarations": [
                {"name": "weather", "description": "tells it", "parametersJsonSchema": WEATHER.parameters},
                {"name": "now"},
            ]
        }
    ]


def test_older_models_get_the_openapi_subset() -> None:
    declared = asked(OLD, tools=(WEATHER,))["tools"][0]["functionDeclarations"][0]
    assert declared["parameters"] == {
        "type": "OBJECT",
        "properties": {"city": {"type": "STRING"}},
        "required": ["city"],
    }


def test_the_subset_writes_references_out_and_names_what_it_leaves_out() -> None:
    fitted, dropped = openapi_schema(
        {
            "$schema": "x",
            "type": "object",
            "additionalProperties": False,
            "$defs": {"City": {"type": "string", "format": "uri", "minLength": 1}},
            "properties": {
                "city": {"$ref": "#/$defs/City", "description": "where"},
                "when": {"anyOf": [{"type": "string", "format": "date-time"}, {"type": "null"}]},
                "many": {"type": ["integer", "string", "null"]},
                "unit": {"const": "c"},
                "list": {"type": "array", "items": {"allOf": [{"type": "number"}]}},
                "number": {"enum": [1, 2]},
                "odd": {"type": "number", "multipleOf": 3},
                "any": True,
            },
        }
    )
    assert fitted["properties"] == {
        "city": {"type": "STRING", "minLength": 1, "description": "where"},
        "when": {"nullable": True, "type": "STRING", "format": "date-time"},
        "many": {"nullable": True, "anyOf": [{"type": "INTEGER"}, {"type": "STRING"}]},
        "unit": {"enum": ["c"], "type": "STRING"},
        "list": {"type": "ARRAY", "items": {"type": "NUMBER"}},
        "number": {"enum": ["1", "2"], "type": "STRING"},
        "odd": {"type": "NUMBER"},
        "any": {},
    }
    assert dropped == ("format", "multipleOf")


@pytest.mark.parametrize("reference", ["#", "#/$defs/none", "https://x.test/schema"])
def test_a_schema_that_the_subset_can_not_say_is_refused(reference: str) -> None:
    with pytest.raises(UnsupportedFeatureError):
        openapi_schema({"properties": {"self": {"$ref": reference}}})


SCHEMA = JsonSchemaFormat(name="city", schema={"type": "object", "properties": {"a": {"type": "string"}}})


def test_a_json_schema_goes_in_the_form_the_model_takes() -> None:
    assert asked(response_format=SCHEMA)["generationConfig"] == {
        "responseMimeType": "application/json",
        "responseJsonSchema": SCHEMA.schema,
    }
    assert asked(OLD, response_format=SCHEMA)["generationConfig"]["responseSchema"]["type"] == "OBJECT"
    assert asked(response_format=JsonFormat())["generationConfig"] == {"responseMimeType": "application/json"}


def test_a_schema_beside_tools_is_an_instruction_before_gemini_3() -> None:
    both = {"response_format": SCHEMA, "tools": (WEATHER,)}
    assert "responseJsonSchema" in asked(LEVEL, **both)["generationConfig"]
    body = asked(BUDGET, **both)
    assert "generationConfig" not in body and "JSON schema" in body["systemInstruction"]["parts"][0]["text"]
    first = asked("gemma-3-27b-it", response_format=JsonFormat())["contents"][0]["parts"][0]
    assert "JSON object" in first["text"]


def test_a_profile_closes_what_a_model_does_not_take() -> None:
    closed = profile_for("gemini", LEVEL, {"supports_tools": False, "supports_several_choices": False})
    no_media = closed.override({"supports_images": False})
    picture = (said("user", ImagePart(url="https://x.test/a.png")),)
    for request, profile in (
        (ChatRequest(messages=HELLO, tools=(WEATHER,)), closed),
        (ChatRequest(messages=HELLO, n=2), closed),
        (ChatRequest(messages=picture), no_media),
    ):
        with pytest.raises(UnsupportedFeatureError):
            build(request, profile=profile)


def test_a_server_without_keys_gets_none() -> None:
    built = build(ChatRequest(messages=HELLO), auth_type="none", api_key=None)
    assert {"x-goog-api-key", "authorization"}.isdisjoint(built.headers)
    assert {"x-goog-api-key", "authorization"}.isdisjoint(build(ChatRequest(messages=HELLO), auth_type="none").headers)


def test_older_models_are_told_what_their_schemas_lost() -> None:
    odd = ToolDefinition(name="odd", parameters={"properties": {"n": {"type": "number", "multipleOf": 2}}})
    built = build(ChatRequest(messages=HELLO, tools=(odd, ToolDefinition(name="now"))), OLD)
    assert "multipleOf" in built.warnings[0]
    assert json.loads(built.body)["tools"][0]["functionDeclarations"][1] == {"name": "now"}
    either = {"properties": {"a": {"anyOf": [{"type": "string"}, {"type": "number"}]}, "b": {"oneOf": []}}}
    assert openapi_schema(either)[0]["properties"] == {
        "a": {"anyOf": [{"type": "STRING"}, {"type": "NUMBER"}]},
        "b": {},
    }


def test_odd_turns_find_their_place() -> None:
    picture = ImagePart(media_type="image/gif", data=b"g")
    contents = turns(
        said("user", name="ann"),
        said("assistant", call_without_id(), ReasoningPart(text="t", provider_metadata=signed("T"))),
        said("tool", "see", picture, name="weather"),
        said("user", FilePart(data=b"?")),
    )
    assert contents[0]["parts"][1] == {"text": "t", "thought": True, "thoughtSignature": "T"}
    assert contents[1]["parts"] == [{"functionResponse": {"name": "weather", "response": {"output": "see"}}}]
    assert [list(part) for part in contents[2]["parts"]] == [["text"], ["inlineData"], ["inlineData"]]
    assert contents[2]["parts"][2]["inlineData"]["mimeType"] == "application/octet-stream"


def call_without_id() -> ToolCall:
    return ToolCall(id="", name="weather", arguments=" ")


def signed(signature: str) -> dict[str, Any]:
    return {"gemini": {"thought_signature": signature}}
