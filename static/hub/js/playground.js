// The playground: a conversation that branches, each turn with a model of its own, streamed through the lane.

import { Answer } from "./answer.js";
import { Attachments } from "./attach.js";
import { copyText } from "./clipboard.js";
import { chat, LaneError, post } from "./lane.js";
import { note } from "./notes.js";
import { pickModel } from "./picker.js";
import { Settings } from "./settings.js";
import { messagesOf, Thread } from "./thread.js";
import { drawAnswer, drawQuestion, finishAnswer, newAnswer } from "./turns.js";

const page = document.querySelector(".page.chat");
const turns = document.getElementById("turns");
const composer = document.getElementById("composer");
const prompt = document.getElementById("prompt");
const nothing = document.getElementById("nothing");
const { tokenUrl, createUrl, waitMs } = page.dataset;
const jsonOf = (id) => JSON.parse(document.getElementById(id).textContent);

const thread = new Thread(jsonOf("nodes"));
const settings = new Settings(document.getElementById("settings"), jsonOf("documents-data"));
const attachments = new Attachments(document.getElementById("thumbs"), document.getElementById("image-file"), (text) => note(text, "warn"));
let conversation = page.dataset.conversation; // "" until the first message makes one
let running = null; // AbortController of the answer that streams now
let keeping = Promise.resolve(); // what the hub is still being told

// --- What a person does with a turn ---

const on = {
  show(node) { if (!running) { thread.leaf = thread.deepest(node.id); drawAll(); } },
  retry(node) { begin(node.question, node.parent); },
  async retryWith(node) {
    const choice = await pickModel(settings.model.id);
    if (choice) { settings.choose(choice); begin(node.question, node.parent); }
  },
  results(node, parts) { begin({ text: "", parts }, node.id); },
  async copy(text, button) {
    const before = button.textContent;
    button.textContent = (await copyText(text)) ? "Copied" : "Can't copy";
    setTimeout(() => { button.textContent = before; }, 1500);
  },
  edit(node, turn) {
    if (running) return;
    const form = document.getElementById("edit").content.firstElementChild.cloneNode(true);
    const area = form.querySelector("textarea");
    area.value = node.question.text;
    turn.replaceWith(form);
    area.focus();
    form.querySelector(".cancel").addEventListener("click", drawAll);
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      begin({ text: area.value.trim(), parts: node.question.parts }, node.parent);
    });
  },
  async remove(node) {
    if (running || !window.confirm("Remove this question and all that follows it?")) return;
    await keeping;
    try {
      if (conversation && !node.failed) await post(`${createUrl}${conversation}/drop/`, { request_id: node.id });
    } catch (error) {
      return note(error.message);
    }
    thread.remove(node.id);
    drawAll();
  },
};

// --- Asking ---

async function begin(question, parent) {
  if (running) return;
  if (!settings.model.id) return note("Choose a model first.", "warn");
  if (!settings.check()) return;
  setRunning(new AbortController());
  try {
    await keepConversation(question.text);
  } catch (error) {
    setRunning(null);
    return note(error.message);
  }
  document.getElementById("messages").replaceChildren();
  const node = thread.add({ id: `new-${crypto.getRandomValues(new Uint32Array(1))[0]}`, parent, question, answer: null, usage: null });
  drawAll();
  await stream(node);
  setRunning(null);
}

// The hub keeps the thread: it is made by the first message, and told of settings before the next one.
async function keepConversation(firstText) {
  if (!conversation) {
    const made = await post(createUrl, { title: firstText.slice(0, 80), ...settings.fields() });
    conversation = made.id;
    window.history.replaceState(null, "", made.url);
  } else if (settings.changed) {
    await post(`${createUrl}${conversation}/`, settings.fields());
  }
  settings.changed = false;
}

async function stream(node) {
  const turn = newAnswer();
  turns.append(turn);
  const answer = new Answer(turn, settings.model.name, () => scrollToEnd());
  scrollToEnd(true);
  say("The model answers.");
  let model = settings.model.name;
  try {
    const result = await chat({
      tokenUrl, conversation, signal: running.signal,
      body: { model, ...settings.parameters(), messages: messagesOf(thread.path(node.id), settings.system) },
      on: {
        head: (headers) => {
          thread.rename(node, headers.get("x-request-id") || node.id);
          model = headers.get("x-llmhub-model") ?? model;
          answer.head(headers);
        },
        text: (piece) => answer.add(piece),
        thinking: (piece) => answer.think(piece),
      },
    });
    node.answer = { text: result.text, parts: result.toolCalls.map((call) => ({ type: "tool_call", ...call })), model };
    answer.done(result);
    say("The answer is complete.");
  } catch (error) {
    node.answer = answer.source ? { text: answer.source, parts: [], model } : null;
    if (error.name === "AbortError") {
      answer.stopped(node.id);
      say("Stopped.");
    } else {
      if (!(error instanceof LaneError)) console.error(error);
      node.failed = !answer.source;
      answer.failed(error instanceof LaneError ? error : new LaneError("Something went wrong on this page. Reload it."));
    }
  }
  turn.dataset.requestId = node.id;
  finishAnswer(turn, node, on);
  if (!node.failed) keeping = keeping.then(() => place(node)).catch(() => {});
  scrollToEnd();
}

// Tells the hub where the turn hangs. The turns of a call reach the database a moment after it ended.
async function place(node) {
  const until = Date.now() + Number(waitMs);
  const fields = {
    request_id: node.id, parent: node.parent ?? "", question: JSON.stringify(node.question.parts), answer: JSON.stringify(node.answer?.parts ?? []),
  };
  for (;;) {
    const { placed } = await post(`${createUrl}${conversation}/place/`, fields);
    if (placed > (node.answer ? 1 : 0) || Date.now() > until) return;
    await new Promise((resolve) => { setTimeout(resolve, 250); });
  }
}

// --- The page ---

function drawAll() {
  turns.replaceChildren();
  for (const node of thread.path()) {
    if (node.question) turns.append(drawQuestion(thread, node, on));
    if (node.answer) turns.append(drawAnswer(node, on));
  }
  if (!thread.nodes.size && nothing) turns.append(nothing);
}

const say = (text) => { document.getElementById("status").textContent = text; };

function setRunning(controller) {
  running = controller;
  document.getElementById("send").hidden = Boolean(controller);
  document.getElementById("stop").hidden = !controller;
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
  if (running || !(text || attachments.parts.length)) return;
  const { parts } = attachments;
  begin({ text, parts }, thread.leaf).then(() => {});
  if (running) { prompt.value = ""; attachments.set([]); }
});
prompt.addEventListener("keydown", (event) => {
  const touch = matchMedia("(pointer: coarse)").matches;
  if (event.key !== "Enter" || event.shiftKey || event.isComposing || touch) return;
  event.preventDefault();
  composer.requestSubmit();
});
prompt.addEventListener("paste", (event) => {
  const files = [...event.clipboardData.files];
  if (files.length) { event.preventDefault(); attachments.add(files); }
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && running && !document.querySelector("dialog[open]")) running.abort();
});
document.getElementById("stop").addEventListener("click", () => running?.abort());
settings.button.addEventListener("click", async () => {
  const choice = await pickModel(settings.model.id);
  if (choice) settings.choose(choice);
  prompt.focus();
});

drawAll();
if (matchMedia("(max-width: 60rem)").matches) settings.form.closest("details").open = false;
scrollToEnd(true);
prompt.focus();
