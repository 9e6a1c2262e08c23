// The dialog that chooses a model: the server searches, so that thousands of models never reach the page at once.

const dialog = document.querySelector("dialog.picker:not(.palette)");
const input = dialog?.querySelector("input");
const list = dialog?.querySelector(".options");
let answer = null;
let shown = null; // the text that the options answer
let takesFirst = false; // Enter came before its answer

// Opens the dialog; resolves to {id, name, facts, payer}, or null when it was closed without a choice.
export function pickModel(selectedId = "") {
  dialog.dataset.selected = selectedId;
  input.value = "";
  takesFirst = false;
  dialog.showModal();
  input.dispatchEvent(new Event("search-now"));
  input.focus();
  return new Promise((resolve) => { answer = resolve; });
}

function finish(choice) {
  answer?.(choice);
  answer = null;
  if (dialog.open) dialog.close();
}

// The first option of what is typed, never of what was typed before.
function takeFirst() {
  takesFirst = shown !== input.value;
  if (takesFirst) input.dispatchEvent(new Event("search-now"));
  else list.querySelector(".option")?.click();
}

if (dialog) {
  input.addEventListener("input", () => { takesFirst = false; });
  dialog.addEventListener("close", () => finish(null));
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog) return finish(null); // the backdrop
    const option = event.target.closest(".option");
    if (option) finish({ id: option.dataset.id, name: option.dataset.name, facts: option.dataset.facts, payer: option.dataset.payer });
  });
  dialog.querySelector(".dismiss").addEventListener("click", () => finish(null));
  dialog.addEventListener("keydown", (event) => {
    const options = [...list.querySelectorAll(".option")];
    const at = options.indexOf(document.activeElement);
    if (event.key === "ArrowDown") options[Math.min(at + 1, options.length - 1)]?.focus();
    else if (event.key === "ArrowUp") (at > 0 ? options[at - 1] : input).focus();
    else if (event.key === "Enter" && event.target === input) takeFirst();
    else return;
    event.preventDefault();
  });
  let focused = null;
  list.addEventListener("htmx:beforeSwap", () => {
    focused = list.contains(document.activeElement) ? document.activeElement.dataset.id : null;
  });
  list.addEventListener("htmx:afterSwap", (event) => {
    shown = event.detail.requestConfig.parameters.q;
    // A late answer must not take away what the keyboard stands on.
    if (focused !== null) (list.querySelector(`[data-id="${CSS.escape(focused)}"]`) ?? list.querySelector(".option") ?? input).focus();
    for (const option of list.querySelectorAll(".option")) {
      option.setAttribute("aria-pressed", String(option.dataset.id === dialog.dataset.selected));
    }
    if (takesFirst && shown === input.value) takeFirst();
  });
}
