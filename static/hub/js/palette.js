// Ctrl+K (or ⌘K): a dialog that goes to anything. The server searches; arrows and Enter choose.
// Nothing imports this module: pages load it by its hashed name, and a second copy would listen twice.

const dialog = document.querySelector("dialog.palette");
const input = dialog?.querySelector("input");

function open() {
  if (dialog.open || document.querySelector("dialog[open]")) return;
  input.value = "";
  dialog.showModal();
  input.dispatchEvent(new Event("search-now"));
  input.focus();
}

if (dialog) {
  document.addEventListener("keydown", (event) => {
    if (event.key.toLowerCase() !== "k" || !(event.ctrlKey || event.metaKey) || event.shiftKey || event.altKey) return;
    event.preventDefault();
    if (dialog.open) dialog.close();
    else open();
  });
  document.getElementById("open-palette")?.addEventListener("click", open);
  dialog.querySelector(".dismiss").addEventListener("click", () => dialog.close());
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
  dialog.addEventListener("keydown", (event) => {
    const options = [...dialog.querySelectorAll(".option")];
    const at = options.indexOf(document.activeElement);
    if (event.key === "ArrowDown") options[Math.min(at + 1, options.length - 1)]?.focus();
    else if (event.key === "ArrowUp") (at > 0 ? options[at - 1] : input).focus();
    else if (event.key === "Enter" && event.target === input) options[0]?.click();
    else return;
    event.preventDefault();
  });
}
