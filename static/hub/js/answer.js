// One answer on a page: drawn while it streams, at most once a frame, then closed with its tokens, time and cost.

import { renderMarkdown } from "./markdown.js";

export class Answer {
  #source = "";
  #thought = "";
  #frame = 0;

  // `turn` is a clone of the template #answer, already in the page. `onDraw` follows each change of height.
  constructor(turn, modelName, onDraw = () => {}) {
    this.turn = turn;
    this.onDraw = onDraw;
    this.text = turn.querySelector(".text");
    this.thinkingBox = turn.querySelector(".thinking");
    this.footer = turn.querySelector("footer");
    this.name = turn.querySelector("header");
    this.name.textContent = modelName;
    this.text.classList.add("waiting");
    turn.setAttribute("aria-busy", "true");
  }

  get source() {
    return this.#source;
  }

  head(headers) {
    const model = headers.get("x-llmhub-model");
    if (model) this.name.textContent = model;
    this.scope = headers.get("x-llmhub-credential-scope") ?? "";
  }

  add(piece) {
    this.#source += piece;
    this.#draw();
  }

  think(piece) {
    this.#thought += piece;
    this.#draw();
  }

  #draw() {
    this.#frame ||= requestAnimationFrame(() => {
      this.#frame = 0;
      this.#render();
    });
  }

  #render() {
    if (this.#thought) {
      this.thinkingBox.hidden = false;
      this.thinkingBox.querySelector("pre").textContent = this.#thought;
    }
    renderMarkdown(this.text, this.#source);
    this.onDraw();
  }

  #close() {
    cancelAnimationFrame(this.#frame);
    this.#frame = 0;
    this.#render();
    this.text.classList.remove("waiting");
    this.turn.removeAttribute("aria-busy");
  }

  done(result) {
    this.#close();
    this.turn.dataset.requestId = result.requestId;
    if (!this.#source) this.#remark(result.toolCalls.length ? "The model asks for a tool." : "The model answered nothing.");
    if (result.finishReason === "length") this.#remark("Cut at the token limit.");
    this.footer.prepend(...factsOf(result, this.scope).map(fact));
    this.onDraw();
  }

  stopped(requestId = "") {
    this.#close();
    this.turn.dataset.requestId = requestId;
    this.footer.prepend(fact("stopped"));
    this.onDraw();
  }

  failed(error) {
    this.#close();
    const box = document.createElement("div");
    box.className = "note bad";
    box.setAttribute("role", "alert");
    box.append(line(error.message));
    if (error.detail) box.append(line(error.detail, "small"));
    if (error.requestId) box.append(line(`Request ${error.requestId}`, "small"));
    this.text.after(box);
    this.onDraw();
  }

  #remark(text) {
    this.text.after(line(text, "muted small"));
  }
}

// The same from a row of usage: {input, output, cost, latencyMs, firstTokenMs, scope, stopped}.
export function factsOfUsage({ input, output, cost, latencyMs, firstTokenMs, scope, stopped }) {
  const usage = input === null && output === null ? null : { prompt_tokens: input, completion_tokens: output, cost };
  return [...factsOf({ usage, latencyMs, firstTokenMs }, scope), ...(stopped ? ["stopped"] : [])].map(fact);
}

function factsOf({ usage, latencyMs, firstTokenMs }, scope) {
  const facts = [];
  if (usage) facts.push(`${count(usage.prompt_tokens)} in · ${count(usage.completion_tokens)} out`);
  const cost = usage?.cost;
  if (cost !== undefined && cost !== null) facts.push(money(Number(cost)));
  if (scope === "own") facts.push("your key");
  if (scope === "shared") facts.push("shared key");
  if (latencyMs === null) return facts;
  const first = firstTokenMs === null ? "" : ` (first after ${secondsText(firstTokenMs)})`;
  facts.push(`${secondsText(latencyMs)}${first}`);
  return facts;
}

const count = (tokens) => (tokens === undefined || tokens === null ? "?" : tokens.toLocaleString("en"));
const secondsText = (milliseconds) => `${(milliseconds / 1000).toFixed(milliseconds < 10_000 ? 2 : 0)} s`;

function money(usd) {
  if (usd === 0) return "$0";
  return usd >= 0.01 ? `$${usd.toFixed(2)}` : `$${usd.toFixed(9).replace(/0+$/, "")}`;
}

function fact(text) {
  const span = document.createElement("span");
  span.textContent = text;
  return span;
}

function line(text, className = "") {
  const p = document.createElement("p");
  p.textContent = text;
  p.className = className;
  return p;
}
