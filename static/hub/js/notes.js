// Says something to the person at the top of the page.

export function note(text, kind = "error") {
  const place = document.getElementById("messages");
  if (!place) return;
  const line = document.createElement("p");
  line.className = `note ${kind}`;
  line.textContent = text;
  place.replaceChildren(line);
  line.scrollIntoView({ block: "nearest" });
}
