// Turns a model's markdown into safe elements: no raw HTML, no images, no styles; links open apart and tell nobody where from.

import { Marked } from "../vendor/marked.esm.js";
import createPurifier from "../vendor/purify.es.js";

const escapes = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" };
const escape = (text) => text.replace(/[&<>"']/g, (letter) => escapes[letter]);

const marked = new Marked({
  gfm: true,
  breaks: true,
  renderer: {
    html: ({ text }) => escape(text),
    // Loading a picture would tell its host what the conversation says.
    image: ({ text, href }) => `<span class="blocked">[image not loaded: ${escape(text || href)}]</span>`,
  },
});

const purifier = createPurifier(window);
purifier.addHook("afterSanitizeAttributes", (node) => {
  if (node.tagName === "A") {
    node.setAttribute("rel", "noopener noreferrer nofollow");
    node.setAttribute("target", "_blank");
  }
});

const ALLOWED = {
  ALLOWED_TAGS: [
    "a", "blockquote", "br", "code", "del", "em", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "li", "ol", "p", "pre", "span",
    "strong", "table", "tbody", "td", "th", "thead", "tr", "ul",
  ],
  ALLOWED_ATTR: ["href", "title", "align", "class", "start"],
  ALLOWED_URI_REGEXP: /^(?:https?|mailto):/i,
};

// Fills `element` with the rendered `source`.
export function renderMarkdown(element, source) {
  element.replaceChildren(purifier.sanitize(marked.parse(source), { ...ALLOWED, RETURN_DOM_FRAGMENT: true }));
  element.classList.add("rendered");
  for (const pre of element.querySelectorAll("pre")) addCopyButton(pre);
  colour(element);
}

let highlighter = null; // loaded with the first code that names its language

function colour(element) {
  const blocks = [...element.querySelectorAll("code[class^=language-]")];
  if (!blocks.length) return;
  highlighter ??= import("../vendor/highlight.esm.min.js").then((module) => module.default);
  highlighter.then((hljs) => {
    for (const code of blocks) {
      const language = code.className.slice("language-".length);
      if (!code.isConnected || !hljs.getLanguage(language)) continue;
      // What comes back holds escaped text in spans; it is cleaned all the same.
      const { value } = hljs.highlight(code.textContent, { language, ignoreIllegals: true });
      code.replaceChildren(purifier.sanitize(value, { ALLOWED_TAGS: ["span"], ALLOWED_ATTR: ["class"], RETURN_DOM_FRAGMENT: true }));
    }
  }).catch(() => {}); // without colours it reads as well
}

function addCopyButton(pre) {
  const box = document.createElement("div");
  box.className = "snippet";
  const button = document.createElement("button");
  button.type = "button";
  button.className = "copy";
  button.textContent = "Copy";
  pre.replaceWith(box);
  box.append(pre, button);
  pre.tabIndex = 0;
}
