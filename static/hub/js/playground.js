// The playground: one conversation with one model at a time, streamed through the lane, kept by the hub.

import { Answer } from "./answer.js";
import { chat, LaneError, post } from "./lane.js";
import { renderMarkdown } from "./markdown.js";
import { note } from "./notes.js";
import { pickModel } from "./picker.js";

const page = document.querySelector(".page.chat");
const turns = document.getElementById("turns");
const composer = document.getElementById("composer");
const prompt = document.getElementById("prompt");
const sendButton = document.getElementById("send");
const stopButton = document.getElementById("stop");
const status = document.getElementById("status");
const modelButton = document.getElementById("model");
const settings = document.getElementById("settings");
const { tokenUrl, createUrl, waitMs } = page.dataset;

let conversation = page.dataset.conversation; // "" until the first message makes one
let running = null; // AbortController of the answer that streams now
let settingsChanged = false;

for (const turn of turns.querySelectorAll(".turn")) {
  const text = turn.querySelector(".text");
  turn.source = text.textContent;
  if (turn.dataset.role === "assistant") renderMarkdown(text, turn.source);
}
if (turns.lastElementChild?.dataset.role === "assistant") offerRetry(turns.lastElementChild);
if (matchMedia("(max-width: 60rem)").matches) settings.closest("details").open = false;
scrollToEnd(true);
prompt.focus();

// --- What is asked ---

function history() {
  const messages = [];
  const system = settings.elements.system_prompt.value.trim();
  if (system) messages.push({ role: "system", content: system });
  for (const turn of turns.querySelectorAll(".turn")) {
    if (turn.source && !turn.dataset.failed) messages.push({ role: turn.dataset.role, content: turn.source });
  }
  return messages;
}

function parameters() {
  const body = { model: modelButton.dataset.name };
  const { temperature, max_tokens: maxTokens } = settings.elements;
  if (temperature.value !== "") body.temperature = Number(temperature.value);
  if (maxTokens.value !== "") body.max_tokens = Number(maxTokens.value);
  return body;
}

function settingsFields() {
  const { system_prompt: system, temperature, max_tokens: maxTokens } = settings.elements;
  return {
    model: modelButton.dataset.id, system_prompt: system.value, temperature: temperature.value, max_tokens: maxTokens.value,
  };
}

// The hub keeps the thread: it is made by the first message, and told of settings before the next one.
async function keepConversation(firstText) {
  if (!conversation) {
    const made = await post(createUrl, { title: firstText.slice(0, 80), ...settingsFields() });
    conversation = made.id;
    window.history.replaceState(null, "", made.url);
  } else if (settingsChanged) {
    await post(`${createUrl}${conversation}/`, settingsFields());
  }
  settingsChanged = false;
}

// --- Sending, stopping, trying again ---

async function ask(text) {
  if (running) return;
  if (!modelButton.dataset.id) return note("Choose a model first.", "warn");
  if (!settings.reportValidity()) return;
  setRunning(new AbortController());
  try {
    await keepConversation(text);
  } catch (error) {
    setRunning(null);
    return note(error.message);
  }
  document.getElementById("nothing")?.remove();
  addUserTurn(text);
  prompt.value = "";
  await stream();
}

async function stream() {
  for (const button of turns.querySelectorAll(".retry")) button.remove();
  const messages = history();
  const turn = clone("answer");
  turns.append(turn);
  const answer = new Answer(turn, modelButton.dataset.name, () => scrollToEnd());
  scrollToEnd(true);
  say("The model answers.");
  let requestId = "";
  try {
    const result = await chat({
      tokenUrl, conversation, signal: running.signal, body: { ...parameters(), messages },
      on: {
        head: (headers) => { requestId = headers.get("x-request-id") ?? ""; answer.head(headers); },
        text: (piece) => answer.add(piece),
        thinking: (piece) => answer.think(piece),
      },
    });
    answer.done(result);
    say("The answer is complete.");
  } catch (error) {
    if (error.name === "AbortError") {
      answer.stopped(requestId);
      say("Stopped.");
    } else {
      if (!(error instanceof LaneError)) console.error(error);
      if (!answer.source) turn.dataset.failed = "1";
      answer.failed(error instanceof LaneError ? error : new LaneError("Something went wrong on this page. Reload it."));
    }
  }
  turn.source = answer.source;
  setRunning(null);
  offerRetry(turn);
  scrollToEnd();
}

function offerRetry(turn) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "retry";
  button.textContent = "Try again";
  button.addEventListener("click", () => retry(turn));
  turn.querySelector("footer").append(button);
}

// The answer makes room for a new one. The hub is told first, else the next reload would show the question twice.
async function retry(turn) {
  if (running) return;
  setRunning(new AbortController());
  try {
    if (conversation && turn.dataset.requestId) await forget(turn.dataset.requestId);
    if (settingsChanged) await keepConversation("");
  } catch (error) {
    setRunning(null);
    return note(error.message);
  }
  turn.remove();
  await stream();
}

// The turns of a call reach the database a moment after it ended.
async function forget(requestId) {
  const until = Date.now() + Number(waitMs);
  for (;;) {
    const { dropped } = await post(`${createUrl}${conversation}/drop/`, { request_id: requestId });
    if (dropped || Date.now() > until) return;
    await new Promise((resolve) => { setTimeout(resolve, 250); });
  }
}

// --- The page ---

function addUserTurn(text) {
  const turn = clone("question");
  turn.source = text;
  turn.querySelector(".text").textContent = text;
  turns.append(turn);
}

const clone = (id) => document.getElementById(id).content.firstElementChild.cloneNode(true);
const say = (text) => { status.textContent = text; };

function setRunning(controller) {
  running = controller;
  sendButton.hidden = Boolean(controller);
  stopButton.hidden = !controller;
  if (!controller) prompt.focus({ preventScroll: true });
}

// Follows the answer unless the person has scrolled up to read.
function scrollToEnd(always = false) {
  const root = document.documentElement;
  if (always || root.scrollHeight - root.scrollTop - root.clientHeight < 160) root.scrollTop = root.scrollHeight;
}

composer.addEventListener("submit", (event) => {
  event.preventDefault();
  const text = prompt.value.trim();
  if (text) ask(text);
});
prompt.addEventListener("keydown", (event) => {
  const touch = matchMedia("(pointer: coarse)").matches;
  if (event.key !== "Enter" || event.shiftKey || event.isComposing || touch) return;
  event.preventDefault();
  composer.requestSubmit();
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && running && !document.querySelector("dialog[open]")) running.abort();
});
stopButton.addEventListener("click", () => running?.abort());
settings.addEventListener("change", () => { settingsChanged = true; });
settings.addEventListener("submit", (event) => event.preventDefault());

modelButton.addEventListener("click", async () => {
  const choice = await pickModel(modelButton.dataset.id);
  if (choice) {
    Object.assign(modelButton.dataset, { id: choice.id, name: choice.name });
    modelButton.querySelector("span").textContent = choice.name;
    document.getElementById("model-facts").textContent = choice.facts;
    document.getElementById("no-key").hidden = choice.payer !== "missing";
    settingsChanged = true;
  }
  prompt.focus();
});
