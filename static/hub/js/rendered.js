// Turns the texts of a page that hold a model's markdown into safe elements.

import { renderMarkdown } from "./markdown.js";

for (const text of document.querySelectorAll("[data-markdown]")) renderMarkdown(text, text.textContent);
