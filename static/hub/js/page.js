// What every page shares: the menu on small screens, copy buttons, and questions before something is destroyed.
// Nothing imports this module: pages load it by its hashed name, and a second copy would listen twice.

import { note } from "./notes.js";

const menuButton = document.querySelector(".menu-button");
menuButton?.addEventListener("click", () => {
  const open = document.getElementById("menu").classList.toggle("open");
  menuButton.setAttribute("aria-expanded", String(open));
});

document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  const account = document.querySelector("details.account[open]");
  if (account) {
    account.open = false;
    account.querySelector("summary").focus();
  }
});

document.addEventListener("click", (event) => {
  const account = document.querySelector("details.account[open]");
  if (account && !account.contains(event.target)) account.open = false;
  const button = event.target.closest("button.copy");
  if (button) copyFrom(button);
});

// A form that destroys something asks first; htmx would submit it otherwise, so this listens while the event goes down.
document.addEventListener(
  "submit",
  (event) => {
    const question = event.target.dataset.confirm;
    if (question && !window.confirm(question)) {
      event.preventDefault();
      event.stopImmediatePropagation();
    }
  },
  true,
);

document.addEventListener("htmx:responseError", (event) => note(event.detail.xhr.status === 403
  ? "You were signed out, or the page is too old. Reload it and try again."
  : `The hub answered with an error (${event.detail.xhr.status}). Reload the page and try again.`));
document.addEventListener("htmx:sendError", () => note("The hub can't be reached. Check the connection and try again."));
document.addEventListener("htmx:timeout", () => note("The hub took too long to answer. Try again."));

async function copyFrom(button) {
  const source = button.dataset.copy ? document.getElementById(button.dataset.copy) : button.parentElement.querySelector("pre");
  const before = button.textContent;
  button.textContent = (await copyText(source)) ? "Copied" : "Select and copy";
  setTimeout(() => { button.textContent = before; }, 1500);
}

// The clipboard is closed to pages served without TLS, unless from loopback: then the text is selected for the person.
async function copyText(source) {
  try {
    await navigator.clipboard.writeText(source.textContent);
    return true;
  } catch {
    const range = document.createRange();
    range.selectNodeContents(source);
    getSelection().removeAllRanges();
    getSelection().addRange(range);
    return false;
  }
}
