// Server-sent events from a fetch body: splits on "\n" alone and survives chunks that end anywhere, even inside a letter.
// https://html.spec.whatwg.org/multipage/server-sent-events.html (a lone "\r" as line end is not sent by anybody we know)

// Yields {event, data} for each whole event. What comes after the last blank line is no event and is dropped.
export async function* readEvents(stream) {
  const reader = stream.getReader();
  const parser = new EventParser();
  const decoder = new TextDecoder();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      yield* parser.feed(decoder.decode(value, { stream: true }));
    }
  } finally {
    reader.cancel().catch(() => {}); // the caller left early, or the connection is gone already
  }
}

export class EventParser {
  #rest = "";
  #event = "";
  #data = [];

  // Takes any piece of text; answers the events that it completed.
  feed(text) {
    const events = [];
    this.#rest += text;
    let end;
    while ((end = this.#rest.indexOf("\n")) >= 0) {
      const line = this.#rest.slice(0, end).replace(/\r$/, "");
      this.#rest = this.#rest.slice(end + 1);
      if (line === "") {
        if (this.#data.length) events.push({ event: this.#event || "message", data: this.#data.join("\n") });
        this.#event = "";
        this.#data = [];
      } else {
        this.#take(line);
      }
    }
    return events;
  }

  #take(line) {
    const colon = line.indexOf(":");
    const name = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (name === "data") this.#data.push(value);
    else if (name === "event") this.#event = value;
  }
}
