// What every page does: the two switches, moments in the reader's own time, buttons that change something.

const told = document.getElementById("told");
const YEAR_S = 31536000;

function keep(name, value) {
  document.cookie = `${name}=${value}; path=/; max-age=${YEAR_S}; samesite=strict`;
}

function say(text) {
  told.textContent = text;
  told.classList.add("shown");
  setTimeout(() => told.classList.remove("shown"), 6000);
}

document.getElementById("theme").addEventListener("click", () => {
  const root = document.documentElement;
  const dark = root.dataset.theme
    ? root.dataset.theme === "dark"
    : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
  keep("theme", root.dataset.theme);
  document.dispatchEvent(new Event("theme"));
});

document.getElementById("language").addEventListener("change", (event) => {
  keep("language", event.target.value);
  location.reload();
});

const full = new Intl.DateTimeFormat(document.documentElement.lang, { dateStyle: "medium", timeStyle: "medium" });

function localise(root) {
  for (const each of root.querySelectorAll("time[datetime]")) {
    const at = new Date(each.dateTime);
    if (!Number.isNaN(at.valueOf())) each.title = full.format(at);
  }
}

// A button names an operation of the REST API: `data-do="POST /api/v1/runs/.../cancel"`.
async function act(button) {
  const [method, path] = button.dataset.do.split(" ");
  if (button.dataset.sure && !confirm(button.dataset.sure)) return;
  button.disabled = true;
  try {
    const answer = await fetch(path, {
      method,
      headers: { "content-type": "application/json", accept: "application/json" },
      body: method === "DELETE" ? undefined : button.dataset.body || "{}",
    });
    if (!answer.ok) {
      const problem = await answer.json().catch(() => ({}));
      say(problem.detail || told.dataset.failed);
      return;
    }
    const place = answer.headers.get("location");
    if (button.dataset.then === "follow" && place) location.assign(place.replace("/api/v1", ""));
    else location.reload();
  } catch {
    say(told.dataset.gone);
  } finally {
    button.disabled = false;
  }
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-do]");
  if (button) act(button);
  const copied = event.target.closest("[data-copy]");
  if (copied) navigator.clipboard?.writeText(copied.dataset.copy).then(() => say(copied.dataset.said));
});

// Two rows of a table that are ticked can be compared: `data-compare="/runs/{then}/diff/{now}"` of the button.
function compare() {
  const button = document.querySelector("[data-compare]");
  if (!button) return;
  const ticked = [...document.querySelectorAll("input[name=pick]:checked")];
  button.disabled = ticked.length !== 2;
}

document.addEventListener("change", (event) => {
  if (event.target.matches("input[name=pick]")) compare();
  if (event.target.matches("[data-submits]")) event.target.form.requestSubmit();
});

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-compare]");
  if (!button) return;
  const [now, then] = [...document.querySelectorAll("input[name=pick]:checked")].map((each) => each.value);
  const path = button.dataset.compare.replace("THEN", encodeURIComponent(then)).replace("NOW", encodeURIComponent(now));
  location.assign(path);
});

document.addEventListener("keydown", (event) => {
  const typing = event.target.matches("input, textarea, select, [contenteditable]");
  if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey) {
    const box = document.querySelector("input[type=search], [data-search]");
    if (box) {
      event.preventDefault();
      box.focus();
    }
  }
});

document.addEventListener("htmx:after:swap", () => {
  localise(document);
  compare();
});
localise(document);
compare();
