// A conversation as a tree of turns. Knows which follow which and what is sent to a model; draws nothing.

export class Thread {
  // `nodes` as registry/web/threads.py gives them: {id, parent, question: {text, parts}, answer: {text, parts, model}, usage}.
  constructor(nodes = []) {
    this.nodes = new Map(nodes.map((node) => [node.id, node]));
    this.leaf = nodes.at(-1)?.id ?? null;
  }

  add(node) {
    this.nodes.set(node.id, node);
    this.leaf = node.id;
    return node;
  }

  // A turn gets its request's name as soon as the hub has given it one.
  rename(node, id) {
    const entries = [...this.nodes].map(([key, value]) => [key === node.id ? id : key, value]);
    if (this.leaf === node.id) this.leaf = id;
    node.id = id;
    this.nodes = new Map(entries);
  }

  remove(id) {
    for (const child of this.children(id)) this.remove(child.id);
    const { parent } = this.nodes.get(id);
    this.nodes.delete(id);
    if (!this.nodes.has(this.leaf)) this.leaf = this.deepest(this.siblingsUnder(parent).at(-1)?.id ?? parent);
  }

  children(id) {
    return [...this.nodes.values()].filter((node) => node.parent === id);
  }

  siblingsUnder(parent) {
    return this.children(parent ?? null);
  }

  // The latest turn below this one, by its latest child each time.
  deepest(id) {
    let at = id;
    for (let next = at && this.children(at).at(-1); next; next = this.children(at).at(-1)) at = next.id;
    return at ?? null;
  }

  // The turns from the beginning to `leaf`, both included.
  path(leaf = this.leaf) {
    const found = [];
    for (let node = this.nodes.get(leaf); node; node = this.nodes.get(node.parent)) found.unshift(node);
    return found;
  }
}

// What a model is sent for the turns of a path, in OpenAI's shape. A turn that failed without an answer is left out.
export function messagesOf(path, system = "") {
  const messages = system ? [{ role: "system", content: system }] : [];
  for (const [at, node] of path.entries()) {
    if (node.failed && at < path.length - 1) continue;
    messages.push(...questionOf(node.question), ...answerOf(node.answer));
  }
  return messages;
}

function questionOf(question) {
  if (!question) return [];
  const results = question.parts.filter((part) => part.type === "tool_result");
  if (results.length) return results.map(({ id, content }) => ({ role: "tool", tool_call_id: id, content }));
  const images = question.parts.filter((part) => part.type === "image_url");
  if (!images.length) return [{ role: "user", content: question.text }];
  return [{ role: "user", content: [{ type: "text", text: question.text }, ...images] }];
}

function answerOf(answer) {
  if (!answer) return [];
  const calls = answer.parts.filter((part) => part.type === "tool_call");
  if (!answer.text && !calls.length) return [];
  const message = { role: "assistant", content: answer.text || null };
  if (calls.length) {
    message.tool_calls = calls.map(({ id, name, arguments: given }) => ({ id, type: "function", function: { name, arguments: given } }));
  }
  return [message];
}
