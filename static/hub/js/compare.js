// Compare: one prompt, or a conversation's questions in turn, to two to six models at once; then a vote and a synthesis.

import { Answer } from "./answer.js";
import { chat, LaneError, post } from "./lane.js";
import { note } from "./notes.js";
import { pickModel } from "./picker.js";

const columns = document.getElementById("columns");
const { tokenUrl, startUrl, fewest, most } = columns.dataset;
const form = document.getElementById("ask");
const after = document.getElementById("after");
const questions = JSON.parse(document.getElementById("questions").textContent);
const LETTERS = "ABCDEF";
let running = null;
let experiment = null; // {id, conversation, vote_url, url, blind, prompt}
let keeping = Promise.resolve();

const all = () => [...columns.querySelectorAll(".column")];
const say = (text) => { document.getElementById("status").textContent = text; };

async function choose(column) {
  const button = column.querySelector(".pick");
  const choice = await pickModel(button.dataset.id ?? "");
  if (!choice) return;
  Object.assign(button.dataset, { id: choice.id, name: choice.name });
  button.querySelector("span").textContent = choice.name;
  column.querySelector(".facts").textContent = choice.facts;
}

function refresh() {
  const count = all().length;
  document.getElementById("add").disabled = count >= Number(most);
  for (const button of columns.querySelectorAll(".remove")) button.disabled = count <= Number(fewest);
}

async function run() {
  const chosen = all().filter((column) => column.querySelector(".pick").dataset.id);
  if (chosen.length < Number(fewest)) return note("Choose at least two models.", "warn");
  const { prompt, system_prompt: system, tag, blind } = form.elements;
  const asked = questions.length ? questions : [prompt.value.trim()];
  document.getElementById("messages").replaceChildren();
  toggle(new AbortController());
  try {
    const made = await post(startUrl, { prompt: asked.join("\n\n"), system_prompt: system.value, tag: tag.value, blind: blind.checked ? "on" : "" });
    experiment = { ...made, blind: blind.checked, prompt: asked.join("\n\n") };
  } catch (error) {
    toggle(null);
    return note(error.message);
  }
  if (blind.checked) shuffle(chosen);
  document.body.classList.toggle("blind", blind.checked);
  for (const [at, column] of all().entries()) column.querySelector(".alias").textContent = `Answer ${LETTERS[at]}`;
  say("The models answer.");
  await Promise.all(chosen.map((column) => replay(column, asked, system.value.trim())));
  const done = chosen.filter((column) => column.dataset.requestId);
  toggle(null);
  say("All answers are complete.");
  keeping = tell({ variants: JSON.stringify(done.map((column) => column.dataset.requestId)) }).catch(() => {});
  if (done.length > 1) offerVote(done);
}

function shuffle(chosen) {
  for (let at = chosen.length - 1; at > 0; at -= 1) {
    const other = crypto.getRandomValues(new Uint32Array(1))[0] % (at + 1);
    [chosen[at], chosen[other]] = [chosen[other], chosen[at]];
  }
  columns.append(...chosen);
}

// Each model answers the questions one after the other, with its own answers in between.
async function replay(column, asked, system) {
  for (const turn of column.querySelectorAll(".turn, .asked, .choose")) turn.remove();
  delete column.dataset.requestId;
  const { name } = column.querySelector(".pick").dataset;
  const messages = system ? [{ role: "system", content: system }] : [];
  for (const question of asked) {
    messages.push({ role: "user", content: question });
    if (asked.length > 1) column.append(line(question, "asked small"));
    const text = await answerIn(column, name, messages);
    if (text === null) return;
    messages.push({ role: "assistant", content: text });
  }
}

// Answers the text, or null when there is none to go on with.
async function answerIn(column, name, messages) {
  const turn = document.getElementById("answer").content.firstElementChild.cloneNode(true);
  column.append(turn);
  const answer = new Answer(turn, name);
  let requestId = "";
  try {
    const on = {
      head: (headers) => { requestId = headers.get("x-request-id") ?? ""; answer.head(headers); },
      text: (piece) => answer.add(piece), thinking: (piece) => answer.think(piece),
    };
    const result = await chat({ tokenUrl, conversation: experiment.conversation, body: { model: name, messages }, signal: running.signal, on });
    answer.done(result);
    if (!result.text) return null;
    column.dataset.requestId = requestId;
    column.dataset.text = result.text;
    return result.text;
  } catch (error) {
    if (error.name === "AbortError") answer.stopped(requestId);
    else answer.failed(error instanceof LaneError ? error : new LaneError("Something went wrong on this page. Reload it."));
    return null;
  }
}

// The answers reach the database a moment after they ended; until then the hub knows of none to vote for.
async function tell(fields) {
  const until = Date.now() + 8000;
  for (;;) {
    const said = await post(experiment.vote_url, fields);
    if (!said.missing || Date.now() > until) return said;
    await new Promise((resolve) => { setTimeout(resolve, 250); });
  }
}

function offerVote(done) {
  after.hidden = false;
  document.getElementById("verdict").textContent = "";
  document.getElementById("open").href = experiment.url;
  for (const column of done) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "choose slim";
    button.textContent = `${column.querySelector(".alias").textContent} is best`;
    button.addEventListener("click", () => vote(done, column));
    column.append(button);
  }
  document.getElementById("tie").onclick = () => vote(done, null);
  document.getElementById("synthesize").onclick = () => synthesize(done);
}

async function vote(done, winner) {
  await keeping;
  const verdict = document.getElementById("verdict");
  try {
    const said = await tell({ variants: JSON.stringify(done.map((column) => column.dataset.requestId)), winner: winner?.dataset.requestId ?? "" });
    document.body.classList.remove("blind");
    for (const button of columns.querySelectorAll(".choose")) button.remove();
    for (const column of done) column.classList.toggle("winner", column === winner);
    verdict.textContent = winner ? `${said.model} won. ` : "A tie. ";
    if (said.first_url) verdict.append(promotion(said));
  } catch (error) {
    note(error.message);
  }
}

function promotion({ first_url: url, model, tier }) {
  const made = document.getElementById("promote").content.firstElementChild.cloneNode(true);
  made.action = url;
  made.querySelector("button").textContent = `Make ${model} the first of the tier ${tier}`;
  return made;
}

// One model makes one answer of all.
async function synthesize(done) {
  if (running) return;
  const choice = await pickModel("");
  if (!choice) return;
  const box = document.getElementById("synthesis");
  box.replaceChildren();
  toggle(new AbortController());
  const given = done.map((column, at) => `<answer name="${LETTERS[at]}">\n${column.dataset.text}\n</answer>`).join("\n\n");
  const system = "Several assistants answered the same question. Write the one best answer: keep what they agree on, decide by reason where they "
    + "differ, drop what is wrong, and do not mention the assistants.";
  await answerIn(box, choice.name, [{ role: "system", content: system }, { role: "user", content: `${experiment.prompt}\n\n${given}` }]);
  toggle(null);
}

function line(text, className) {
  const p = document.createElement("p");
  p.textContent = text;
  p.className = className;
  return p;
}

function toggle(controller) {
  running = controller;
  document.getElementById("send").hidden = Boolean(controller);
  document.getElementById("stop").hidden = !controller;
  if (controller && !experiment?.id) after.hidden = true;
}

columns.addEventListener("click", (event) => {
  const column = event.target.closest(".column");
  if (event.target.closest(".pick")) choose(column);
  if (event.target.closest(".remove")) {
    column.remove();
    refresh();
  }
});
document.getElementById("add").addEventListener("click", () => {
  columns.append(document.getElementById("column").content.firstElementChild.cloneNode(true));
  refresh();
  choose(columns.lastElementChild);
});
document.getElementById("stop").addEventListener("click", () => running?.abort());
form.addEventListener("submit", (event) => {
  event.preventDefault();
  if (!running) run();
});
form.elements.prompt?.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing || matchMedia("(pointer: coarse)").matches) return;
  event.preventDefault();
  form.requestSubmit();
});
refresh();
