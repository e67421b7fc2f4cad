// Lines of a log as they come: `<div data-tail="/api/v1/runs/.../logs/follow" ...>` around `<pre data-step=...>`.

const MOST_LETTERS = 400000;

function place(root, step) {
  for (const each of root.querySelectorAll("pre[data-step]")) if (each.dataset.step === step) return each;
  const part = root.querySelector("template").content.firstElementChild.cloneNode(true);
  part.querySelector("[data-name]").textContent = step;
  const made = part.querySelector("pre");
  made.dataset.step = step;
  root.append(part);
  return made;
}

function follow(root) {
  const source = new EventSource(root.dataset.tail);
  const begun = new Set();
  source.addEventListener("message", (event) => {
    const { attempt, text } = JSON.parse(event.data);
    const into = place(root, attempt.node);
    // The stream tells each log from its beginning.
    if (!begun.has(attempt.node)) into.textContent = "";
    begun.add(attempt.node);
    const atEnd = into.scrollHeight - into.scrollTop - into.clientHeight < 40;
    into.append(text.endsWith("\n") ? text : `${text}\n`);
    if (into.textContent.length > MOST_LETTERS) into.textContent = into.textContent.slice(-MOST_LETTERS / 2);
    if (atEnd) into.scrollTop = into.scrollHeight;
  });
  source.addEventListener("end", () => {
    source.close();
    root.dataset.ended = "";
    document.querySelector("[data-tail-state]")?.remove();
  });
  source.addEventListener("error", () => source.close());
}

for (const root of document.querySelectorAll("[data-tail]")) follow(root);
