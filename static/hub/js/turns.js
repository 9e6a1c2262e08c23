// Draws a conversation's turns: question, answer, what it cost, and what one can do with it.

import { factsOfUsage } from "./answer.js";
import { picture } from "./attach.js";
import { renderMarkdown } from "./markdown.js";

const clone = (id) => document.getElementById(id).content.firstElementChild.cloneNode(true);

export function drawQuestion(thread, node, on) {
  const turn = clone("question");
  const { text, parts } = node.question;
  turn.querySelector(".text").textContent = text;
  for (const part of parts) {
    if (part.type === "image_url") turn.querySelector(".text").before(picture(part.image_url.url));
    if (part.type === "tool_result") turn.querySelector(".text").append(`${part.name} → ${part.content}\n`);
  }
  const footer = turn.querySelector("footer");
  const siblings = thread.siblingsUnder(node.parent);
  if (siblings.length > 1) footer.append(variants(siblings, node, on));
  if (!parts.some((part) => part.type === "tool_result")) footer.append(button("Edit", () => on.edit(node, turn)));
  footer.append(button("Remove", () => on.remove(node)));
  return turn;
}

function variants(siblings, node, on) {
  const at = siblings.indexOf(node);
  const box = document.createElement("span");
  box.className = "variants";
  const before = button("‹", () => on.show(siblings[at - 1]));
  const after = button("›", () => on.show(siblings[at + 1]));
  before.disabled = at === 0;
  after.disabled = at === siblings.length - 1;
  before.setAttribute("aria-label", "The variant before");
  after.setAttribute("aria-label", "The next variant");
  box.append(before, `${at + 1} / ${siblings.length}`, after);
  return box;
}

export function newAnswer() {
  return clone("answer");
}

// An answer that is known whole.
export function drawAnswer(node, on) {
  const turn = newAnswer();
  turn.querySelector("header").textContent = node.answer.model;
  renderMarkdown(turn.querySelector(".text"), node.answer.text);
  if (node.usage) turn.querySelector("footer").append(...factsOfUsage(node.usage));
  finishAnswer(turn, node, on);
  return turn;
}

// What can be done with an answer once it has ended.
export function finishAnswer(turn, node, on) {
  const calls = (node.answer?.parts ?? []).filter((part) => part.type === "tool_call");
  if (calls.length) turn.querySelector("footer").before(drawCalls(calls, node, on));
  const footer = turn.querySelector("footer");
  const retry = button("Try again", () => on.retry(node));
  retry.classList.add("retry");
  if (node.answer?.text) footer.append(button("Copy", (event) => on.copy(node.answer.text, event.target)));
  footer.append(retry, button("Other model", () => on.retryWith(node)));
}

function drawCalls(calls, node, on) {
  const form = document.createElement("form");
  form.className = "calls card";
  const fields = calls.map((call, at) => {
    const label = document.createElement("label");
    const code = document.createElement("code");
    code.textContent = `${call.name}(${call.arguments})`;
    const area = document.createElement("textarea");
    area.rows = 2;
    area.required = true;
    area.id = `result-${node.id}-${at}`;
    label.htmlFor = area.id;
    label.append("Result of ", code);
    form.append(label, area);
    return area;
  });
  const send = document.createElement("button");
  send.className = "slim";
  send.textContent = calls.length > 1 ? "Send the results" : "Send the result";
  form.append(send);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    on.results(node, calls.map((call, at) => ({ type: "tool_result", id: call.id, name: call.name, content: fields[at].value })));
  });
  return form;
}

function button(text, act) {
  const made = document.createElement("button");
  made.type = "button";
  made.textContent = text;
  made.addEventListener("click", act);
  return made;
}
