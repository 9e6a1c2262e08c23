"""Prompt packs in a chat: the templates become messages, the answer is checked, and one repair is asked for."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from django.db.models import Q

from adapters.errors import InvalidRequestError
from adapters.types import ChatRequest, JsonSchemaFormat, Message, TextPart
from registry.access.principals import Principal
from registry.catalog.prompt_packs import (
    CheckedAnswer,
    TemplateError,
    check_answer,
    example_of,
    render,
    repair_prompt,
    variables_of,
)
from registry.client import new_request_id
from registry.gateway.http import Request, unless_gone
from registry.gateway.worker import Worker
from registry.models import PromptPack
from registry.results import CallResult
from registry.routing.resolve import Ask, Candidate
from registry.usage.ledger import CallIntent


@dataclass(frozen=True, slots=True, kw_only=True)
class Pack:
    """A prompt pack as a chat uses it. `trusted`: an admin's, whose schema may hold patterns and references."""

    module: str
    version: int
    system_template: str
    user_template: str
    output_schema: Mapping[str, Any] | None
    options: Mapping[str, Any]
    trusted: bool

    def messages(self, variables: Mapping[str, str], given: list[Any]) -> list[Any]:
        """The system template, then what the caller sent; the user template where they sent no messages.

        Raises InvalidRequestError for a variable that is missing or that no template has.
        """
        templates = [self.system_template] if given else [self.system_template, self.user_template]
        unknown = sorted(set(variables) - set(variables_of(self.system_template, self.user_template)))
        if unknown:
            raise InvalidRequestError(
                f"The prompt pack {self.module} has no variable {unknown[0]!r}.", param=f"variables.{unknown[0]}"
            )
        try:
            filled = [render(template, variables) for template in templates]
        except TemplateError as error:
            raise InvalidRequestError(str(error), param=f"variables.{error.variable}") from error
        first = [{"role": "system", "content": filled[0]}] if filled[0] else []
        made = [*first, *(given or [{"role": "user", "content": text} for text in filled[1:] if text])]
        if not made:
            raise InvalidRequestError(f"The prompt pack {self.module} says nothing: 'messages' is needed.")
        return made

    def asking(self, request: ChatRequest) -> ChatRequest:
        """The request with the pack's schema as the wanted form, unless the caller wants another."""
        if self.output_schema is None or request.response_format is not None:
            return request
        name = self.module.replace("-", "_")
        return replace(request, response_format=JsonSchemaFormat(name=name, schema=self.output_schema, strict=True))

    def under(self, candidate: Candidate) -> Candidate:
        """The candidate with the pack's options where its preset says nothing."""
        return replace(candidate, options={**self.options, **candidate.options}) if self.options else candidate

    def check(self, reply: str) -> CheckedAnswer:
        if self.output_schema is None:
            return CheckedAnswer()
        return check_answer(self.output_schema, reply, trusted=self.trusted)


@dataclass(frozen=True, slots=True, kw_only=True)
class PackAnswer:
    """The last answer and what came of checking it. `first` is the answer that had to be repaired."""

    result: CallResult
    checked: CheckedAnswer
    first: CallResult | None = None
    first_errors: tuple[str, ...] = ()

    def as_dict(self, pack: Pack) -> dict[str, Any]:
        """For JSON: the answer's value, and how it was come by."""
        report: dict[str, Any] = {"module": pack.module, "version": pack.version, "valid": not self.checked.errors}
        if pack.output_schema is None:
            report["valid"] = None
        report["repaired"] = self.first is not None and not self.checked.errors
        if self.first is not None:
            report["first_request_id"] = self.first.request_id
            report["first_errors"] = list(self.first_errors)
        return {"data": self.checked.value, "prompt_pack": report}

    @property
    def cost(self) -> Decimal | None:
        """USD of both calls; None where one of them is not known."""
        totals = [call.cost.total for call in (self.first, self.result) if call is not None]
        return None if None in totals else sum(filter(None, totals), Decimal(0))


async def pack_of(worker: Worker, principal: Principal, body: Mapping[str, Any]) -> Pack | None:
    """The pack that a chat names: `prompt_pack` ("translate", "translate@2"), or its module's when it has variables.

    Raises InvalidRequestError where there is none.
    """
    named = body.get("prompt_pack")
    if named is None and body.get("variables") is not None:
        named = body.get("module")
        if named is None:
            raise InvalidRequestError("'variables' fill a prompt pack: name one, or a module.", param="variables")
    if named is None:
        return None
    if not isinstance(named, str) or not 0 < len(named) <= 80:
        raise InvalidRequestError("'prompt_pack' takes a module's name.", param="prompt_pack")
    module, _, version = named.partition("@")
    if version and not (version.isascii() and version.isdecimal() and len(version) < 10):
        raise InvalidRequestError("A prompt pack's version is a number: translate@2.", param="prompt_pack")
    pack = await worker.in_thread(_find, principal.user_id, module, int(version) if version else None)
    if pack is None:
        raise InvalidRequestError(f"There is no prompt pack {named!r}.", param="prompt_pack")
    found: Pack = pack
    return found


def _find(user_id: Any, module: str, version: int | None) -> Pack | None:
    rows = PromptPack.objects.filter(Q(owner__isnull=True) | Q(owner_id=user_id))
    row = rows.of_module(module, version)
    if row is None:
        return None
    return Pack(
        module=row.module,
        version=row.version,
        system_template=row.system_template,
        user_template=row.user_template,
        output_schema=row.output_schema if isinstance(row.output_schema, dict) else None,
        options=row.options,
        trusted=row.owner_id is None,
    )


def read_variables(body: Mapping[str, Any]) -> dict[str, str]:
    """Texts by name; numbers are written out. Raises InvalidRequestError."""
    given = body.get("variables") or {}
    if not isinstance(given, dict):
        raise InvalidRequestError("'variables' takes an object of texts.", param="variables")
    for name, value in given.items():
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise InvalidRequestError(f"The variable {name!r} takes a text.", param=f"variables.{name}")
    return {name: str(value) for name, value in given.items()}


async def ask_with_pack(
    worker: Worker,
    request: Request,
    pack: Pack,
    ask: Ask,
    chat: ChatRequest,
    principal: Principal,
    intent: CallIntent,
    rewrite: Any,
) -> PackAnswer:
    """Call, check, and where the answer does not fit the schema ask the same model once more. Raises as `call` does."""
    adapted: Callable[[Candidate], Candidate] = rewrite or _unchanged
    chat = pack.asking(chat)
    first: CallResult = await unless_gone(
        request,
        worker.client.call(
            ask, chat, principal=principal, intent=intent, rewrite=lambda candidate: pack.under(adapted(candidate))
        ),
    )
    checked = pack.check(first.reply)
    if not checked.errors:
        return PackAnswer(result=first, checked=checked)
    turns = (
        Message(role="assistant", parts=(TextPart(text=first.reply or "-"),)),
        Message(role="user", parts=(TextPart(text=repair_prompt(checked.errors)),)),
    )
    options = first.candidate.options

    def as_before(candidate: Candidate) -> Candidate:
        return replace(adapted(candidate), options={**candidate.options, **options})

    second: CallResult = await unless_gone(
        request,
        worker.client.call(
            _same_model(worker, ask, first.candidate),
            replace(chat, messages=(*chat.messages, *turns)),
            principal=principal,
            intent=replace(intent, request_id=new_request_id()),
            rewrite=as_before,
        ),
    )
    return PackAnswer(result=second, checked=pack.check(second.reply), first=first, first_errors=checked.errors)


def _same_model(worker: Worker, ask: Ask, candidate: Candidate) -> Ask:
    """An ask for the model that answered, where the registry knows it by its id."""
    if worker.snapshot.by_id(candidate.entry.id) is None:
        return ask
    return replace(ask, llm_id=candidate.entry.id, model=None, models=(), tier=None, preset=None, module=None)


def _unchanged(candidate: Candidate) -> Candidate:
    return candidate


def mocked(pack: Pack) -> dict[str, Any]:
    """A valid answer that nobody was asked for."""
    value = None if pack.output_schema is None else example_of(pack.output_schema)
    report = {"module": pack.module, "version": pack.version, "valid": True, "repaired": False}
    said = {} if value is None else {"reply": json.dumps(value, ensure_ascii=False)}
    return {**said, "data": value, "prompt_pack": report}
