// The pages' client of the lane: a short-lived token kept in memory alone, one streamed chat, errors in plain words.

import { readEvents } from "./sse.js";

const RENEW_BEFORE_MS = 60_000;
let token = null; // {value, expiresAt}: lives as long as the page

const PLAIN = {
  upstream_authentication: "The provider refused the key. Check it under Keys.",
  upstream_permission_denied: "The provider does not let this key use the model.",
  upstream_quota_exceeded: "The provider says that the account has no money or quota left.",
  upstream_rate_limited: "The provider gets too many requests right now. Wait a moment and try again.",
  upstream_unreachable: "The provider can't be reached. It may be down, or its address is wrong.",
  upstream_timeout: "The provider took too long to answer.",
  upstream_unavailable: "The provider is overloaded or down. Try again, or take another model.",
  upstream_protocol_error: "The provider's answer broke off or could not be read.",
  endpoint_not_allowed: "The hub may not call this provider's address. An administrator can open it.",
  context_length_exceeded: "The conversation is too long for this model. Start a new one or take a model with more context.",
  content_filter: "The provider's filter stopped this answer.",
};

export class LaneError extends Error {
  constructor(message, { code = "", status = 0, requestId = "" } = {}) {
    super(PLAIN[code] ?? message);
    this.detail = PLAIN[code] && message !== PLAIN[code] ? message : "";
    this.code = code;
    this.status = status;
    this.requestId = requestId;
  }
}

// POST a form to one of our own pages; answers its JSON. The token of the page's form guards against forgery.
export async function post(url, fields = {}) {
  const body = new FormData();
  body.set("csrfmiddlewaretoken", document.querySelector("[name=csrfmiddlewaretoken]").value);
  for (const [name, value] of Object.entries(fields)) body.set(name, value ?? "");
  let response;
  try {
    response = await fetch(url, { method: "POST", body, headers: { accept: "application/json" } });
  } catch {
    throw new LaneError("The hub can't be reached. Check the connection and try again.");
  }
  const isJson = response.headers.get("content-type")?.startsWith("application/json");
  if (response.redirected || response.status === 403 || !isJson) {
    throw new LaneError("You were signed out. Reload the page and sign in again.", { status: response.status });
  }
  const answer = await response.json();
  if (!response.ok) throw new LaneError(answer.error?.message ?? "The hub refused this.", { status: response.status });
  return answer;
}

async function bearer(url) {
  if (!token || token.expiresAt - Date.now() < RENEW_BEFORE_MS) {
    const minted = await post(url);
    token = { value: minted.token, expiresAt: Date.parse(minted.expires_at) };
  }
  return token.value;
}

// Streams one chat. Calls on.text(piece), on.thinking(piece) and on.head(headers); answers what is known at the end:
// {text, toolCalls, finishReason, usage, requestId, latencyMs, firstTokenMs}. Throws LaneError, or AbortError when stopped.
export async function chat({ tokenUrl, body, conversation, signal, on }) {
  const begun = performance.now();
  const response = await send({ tokenUrl, body, conversation, signal });
  const requestId = response.headers.get("x-request-id") ?? "";
  if (!response.ok) throw await errorOf(response, requestId);
  on.head?.(response.headers);
  const result = { text: "", toolCalls: [], finishReason: "", usage: null, requestId, latencyMs: 0, firstTokenMs: null };
  let ended = false;
  try {
    for await (const { data } of readEvents(response.body)) {
      // Read on to the end of the body: leaving at once could look to the hub like a person who left.
      if (data === "[DONE]") ended = true;
      else take(parse(data, requestId), result, on, begun, requestId);
    }
  } catch (error) {
    if (error.name === "AbortError" || error instanceof LaneError) throw error;
    throw new LaneError("The connection to the hub broke off.", { requestId });
  }
  if (!ended && !result.finishReason) throw new LaneError("The answer broke off before its end.", { requestId });
  result.latencyMs = performance.now() - begun;
  return result;
}

async function send({ tokenUrl, body, conversation, signal }) {
  for (let attempt = 1; ; attempt += 1) {
    const headers = { "content-type": "application/json", authorization: `Bearer ${await bearer(tokenUrl)}` };
    if (conversation) headers["x-llmhub-conversation"] = conversation;
    let response;
    try {
      response = await fetch("/v1/chat/completions", {
        method: "POST", headers, signal, credentials: "omit",
        body: JSON.stringify({ ...body, stream: true, stream_options: { include_usage: true } }),
      });
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new LaneError("The hub can't be reached. Check the connection and try again.");
    }
    if (response.status !== 401 || attempt > 1) return response;
    token = null; // revoked, or this machine's clock is off: once more with a fresh one
  }
}

function take(chunk, result, on, begun, requestId) {
  if (chunk.error) throw new LaneError(chunk.error.message ?? "The answer broke off.", { code: chunk.error.code ?? "", requestId });
  if (chunk.usage) result.usage = chunk.usage;
  const choice = chunk.choices?.[0];
  if (!choice) return;
  const delta = choice.delta ?? {};
  const thinking = delta.reasoning_content ?? delta.reasoning;
  if (thinking || delta.content) result.firstTokenMs ??= performance.now() - begun;
  if (typeof thinking === "string" && thinking) on.thinking?.(thinking);
  if (delta.content) {
    result.text += delta.content;
    on.text?.(delta.content);
  }
  if (delta.refusal) {
    result.text += delta.refusal;
    on.text?.(delta.refusal);
  }
  for (const piece of delta.tool_calls ?? []) takeCall(piece, result.toolCalls);
  if (choice.finish_reason) result.finishReason = choice.finish_reason;
}

function takeCall(piece, calls) {
  const call = (calls[piece.index ?? 0] ??= { id: "", name: "", arguments: "" });
  if (piece.id) call.id = piece.id;
  call.name += piece.function?.name ?? "";
  call.arguments += piece.function?.arguments ?? "";
}

function parse(data, requestId) {
  try {
    return JSON.parse(data);
  } catch {
    throw new LaneError("The hub sent something that can't be read.", { requestId });
  }
}

async function errorOf(response, requestId) {
  let error = {};
  try {
    error = (await response.json()).error ?? {};
  } catch {
    // no JSON: a proxy between the browser and the hub answered
  }
  const message = error.message ?? `The hub answered with an error (${response.status}).`;
  return new LaneError(message, { code: error.code ?? error.type ?? "", status: response.status, requestId });
}
