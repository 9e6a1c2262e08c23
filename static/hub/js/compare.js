// Compare: one prompt to two to four models, all streaming at once. Each column is a client of the lane of its own.

import { Answer } from "./answer.js";
import { chat, LaneError } from "./lane.js";
import { note } from "./notes.js";
import { pickModel } from "./picker.js";

const MAX_COLUMNS = 4;
const columns = document.getElementById("columns");
const { tokenUrl } = columns.dataset;
const form = document.getElementById("ask");
const addButton = document.getElementById("add");
const sendButton = document.getElementById("send");
const stopButton = document.getElementById("stop");
const status = document.getElementById("status");
let running = null;

async function choose(column) {
  const button = column.querySelector(".pick");
  const choice = await pickModel(button.dataset.id ?? "");
  if (!choice) return;
  Object.assign(button.dataset, { id: choice.id, name: choice.name });
  button.querySelector("span").textContent = choice.name;
  column.querySelector(".facts").textContent = choice.facts;
}

function refresh() {
  const count = columns.querySelectorAll(".column").length;
  addButton.disabled = count >= MAX_COLUMNS;
  for (const button of columns.querySelectorAll(".remove")) button.disabled = count <= 2;
}

async function run(prompt) {
  const chosen = [...columns.querySelectorAll(".column")].filter((column) => column.querySelector(".pick").dataset.id);
  if (chosen.length < 2) return note("Choose at least two models.", "warn");
  document.getElementById("messages").replaceChildren();
  running = new AbortController();
  toggle(true);
  status.textContent = "The models answer.";
  const system = form.elements.system_prompt.value.trim();
  const messages = [...(system ? [{ role: "system", content: system }] : []), { role: "user", content: prompt }];
  await Promise.all(chosen.map((column) => answerIn(column, messages, running.signal)));
  running = null;
  toggle(false);
  status.textContent = "All answers are complete.";
}

async function answerIn(column, messages, signal) {
  const { name } = column.querySelector(".pick").dataset;
  const turn = document.getElementById("answer").content.firstElementChild.cloneNode(true);
  column.querySelector(".turn")?.remove();
  column.append(turn);
  const answer = new Answer(turn, name);
  try {
    const body = { model: name, messages };
    const on = { head: (headers) => answer.head(headers), text: (piece) => answer.add(piece), thinking: (piece) => answer.think(piece) };
    answer.done(await chat({ tokenUrl, body, signal, on }));
  } catch (error) {
    if (error.name === "AbortError") answer.stopped();
    else answer.failed(error instanceof LaneError ? error : new LaneError("Something went wrong on this page. Reload it."));
  }
}

function toggle(busy) {
  sendButton.hidden = busy;
  stopButton.hidden = !busy;
}

columns.addEventListener("click", (event) => {
  const column = event.target.closest(".column");
  if (event.target.closest(".pick")) choose(column);
  if (event.target.closest(".remove")) {
    column.remove();
    refresh();
  }
});
addButton.addEventListener("click", () => {
  columns.append(document.getElementById("column").content.firstElementChild.cloneNode(true));
  refresh();
  columns.lastElementChild.querySelector(".pick").focus();
});
stopButton.addEventListener("click", () => running?.abort());
form.addEventListener("submit", (event) => {
  event.preventDefault();
  const prompt = form.elements.prompt.value.trim();
  if (prompt && !running) run(prompt);
});
form.elements.prompt.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing || matchMedia("(pointer: coarse)").matches) return;
  event.preventDefault();
  form.requestSubmit();
});
refresh();
