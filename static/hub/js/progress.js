// Tests that come in one by one: how many are done, and how many failed. The rows bring their outcome with them.

const bar = document.getElementById("progress");
const text = document.getElementById("progress-text");

function count() {
  const done = document.querySelectorAll("[data-outcome]").length;
  const failed = document.querySelectorAll("[data-outcome=failed]").length;
  bar.value = done;
  text.textContent = text.dataset.words.replace("{done}", done).replace("{all}", bar.max).replace("{failed}", failed);
}

document.body.addEventListener("htmx:afterSettle", count);
count();
