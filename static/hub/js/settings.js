// The playground's settings: what is kept with the conversation and what is sent with each call.

import { note } from "./notes.js";

const LONGEST = 2_000_000;

export class Settings {
  changed = false;

  constructor(form, documents) {
    this.form = form;
    this.documents = documents;
    this.list = form.querySelector("#documents");
    this.button = form.querySelector("#model");
    form.addEventListener("change", () => { this.changed = true; });
    form.addEventListener("submit", (event) => event.preventDefault());
    const input = form.querySelector("#document-file");
    input.addEventListener("change", () => { this.#attach([...input.files]); input.value = ""; });
    this.#draw();
  }

  get model() {
    return this.button.dataset;
  }

  choose(choice) {
    Object.assign(this.button.dataset, { id: choice.id, name: choice.name });
    this.button.querySelector("span").textContent = choice.name;
    this.form.querySelector("#model-facts").textContent = choice.facts;
    this.form.querySelector("#no-key").hidden = choice.payer !== "missing";
    this.changed = true;
  }

  get system() {
    return this.form.elements.system_prompt.value.trim();
  }

  // For the form behind a conversation. JSON goes as it was typed: the hub says what is wrong with it.
  fields() {
    const { system_prompt: system, temperature, top_p: topP, max_tokens: maxTokens, tools, schema } = this.form.elements;
    return {
      model: this.model.id, system_prompt: system.value, temperature: temperature.value, top_p: topP.value, max_tokens: maxTokens.value,
      tools: tools.value, schema: schema.value, documents: this.documents.length ? JSON.stringify(this.documents) : "",
    };
  }

  // For the call itself.
  parameters() {
    const { temperature, top_p: topP, max_tokens: maxTokens, tools, schema } = this.form.elements;
    const body = {};
    if (temperature.value !== "") body.temperature = Number(temperature.value);
    if (topP.value !== "") body.top_p = Number(topP.value);
    if (maxTokens.value !== "") body.max_tokens = Number(maxTokens.value);
    if (tools.value.trim()) body.tools = JSON.parse(tools.value);
    if (schema.value.trim()) body.response_format = { type: "json_schema", json_schema: { name: "answer", schema: JSON.parse(schema.value) } };
    if (this.documents.length) body.llmhub_context = { attached: this.documents };
    return body;
  }

  // Whether the form can be sent; says what is wrong otherwise.
  check() {
    for (const [name, label] of [["tools", "Tools"], ["schema", "The answer's schema"]]) {
      const field = this.form.elements[name];
      try {
        if (field.value.trim()) JSON.parse(field.value);
      } catch (error) {
        field.closest("details").open = true;
        note(`${label}: this is no JSON. ${error.message}`);
        field.focus();
        return false;
      }
    }
    return this.form.reportValidity();
  }

  async #attach(files) {
    for (const file of files) {
      const text = await file.text();
      if (text.includes("\0")) note(`${file.name} is no text.`, "warn");
      else if (text.length + this.documents.reduce((sum, one) => sum + one.text.length, 0) > LONGEST) note("The documents are too long.", "warn");
      else this.documents.push({ name: file.name.slice(0, 200), text });
    }
    this.changed = true;
    this.#draw();
  }

  #draw() {
    this.list.replaceChildren(...this.documents.map((one, at) => {
      const line = document.createElement("li");
      const button = document.createElement("button");
      button.type = "button";
      button.className = "slim plain";
      button.textContent = "Remove";
      button.setAttribute("aria-label", `Remove ${one.name}`);
      button.addEventListener("click", () => { this.documents.splice(at, 1); this.changed = true; this.#draw(); });
      line.append(`${one.name} (${one.text.length.toLocaleString()} characters) `, button);
      return line;
    }));
  }
}
