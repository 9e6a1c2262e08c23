"""Ready lines to paste, with this hub's address, a token and a model in them. Text only."""

from __future__ import annotations

import json
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Snippet:
    slug: str
    title: str
    code: str


def build_snippets(base_url: str, token: str, model: str) -> list[Snippet]:
    """`base_url` ends in /v1, as OpenAI's clients take it; Anthropic's take it without."""
    root = base_url.removesuffix("/v1")
    quoted = json.dumps(model)
    in_shell = quoted.replace("'", "'\\''")
    curl = f"""curl {base_url}/chat/completions \\
  -H "Authorization: Bearer {token}" \\
  -H "Content-Type: application/json" \\
  -d '{{"model": {in_shell}, "messages": [{{"role": "user", "content": "Hello"}}]}}'"""
    openai = f"""from openai import OpenAI

client = OpenAI(base_url="{base_url}", api_key="{token}")
answer = client.chat.completions.create(
    model={quoted},
    messages=[{{"role": "user", "content": "Hello"}}],
)
print(answer.choices[0].message.content)"""
    anthropic = f"""from anthropic import Anthropic

client = Anthropic(base_url="{root}", api_key="{token}")
answer = client.messages.create(
    model={quoted},
    max_tokens=1024,
    messages=[{{"role": "user", "content": "Hello"}}],
)
print(answer.content[0].text)"""
    environment = f"""export OPENAI_BASE_URL="{base_url}"
export OPENAI_API_KEY="{token}"
export ANTHROPIC_BASE_URL="{root}"
export ANTHROPIC_API_KEY="{token}\""""
    return [
        Snippet(slug="curl", title="curl", code=curl),
        Snippet(slug="openai", title="OpenAI SDK (Python)", code=openai),
        Snippet(slug="anthropic", title="Anthropic SDK (Python)", code=anthropic),
        Snippet(slug="environment", title="Environment variables", code=environment),
    ]
