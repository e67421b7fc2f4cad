"""A page to try models by hand: a form for each, with a field for all that it takes, and its example."""

from __future__ import annotations

import base64
import hashlib
import json
from html import escape
from typing import Any

from mlwright.sdk.kinds import MEDIA
from mlwright.serving.shell import shell
from mlwright.serving.spec import ModelSpec, ReplicaSpec
from mlwright.versioning.signatures import Column, Input

_CHOSEN = 30
"""Categories that can be chosen from a list; more are typed."""
_STYLE = """
:root { color-scheme: light dark }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 48rem; margin: 2rem auto; padding: 0 1rem }
form { display: grid; gap: .75rem; margin-bottom: 3rem }
label { display: grid; grid-template-columns: minmax(8rem, 1fr) 2fr; gap: .75rem; align-items: center }
input, select, textarea, button { font: inherit; padding: .3rem .5rem }
output { white-space: pre-wrap; overflow-wrap: anywhere; font-family: ui-monospace, monospace }
"""
_SCRIPT = """
const kinds = {
  number: text => text === "" ? null : Number(text),
  boolean: text => text === "" ? null : text === "true",
  string: text => text,
};
const read = field =>
  field.value === "" && "nullable" in field.dataset ? null : kinds[field.dataset.type](field.value);
async function ask(form, shown) {
  const request = {method: "POST", body: new FormData(form)};
  if ("table" in form.dataset) {
    const fields = [...form.querySelectorAll("[name]")];
    const row = Object.fromEntries(fields.map(field => [field.name, read(field)]));
    request.headers = {"content-type": "application/json"};
    request.body = JSON.stringify({rows: [row]});
  }
  const answer = await fetch(form.dataset.path, request);
  if ((answer.headers.get("content-type") || "").includes("json")) {
    shown.textContent = JSON.stringify(await answer.json(), null, 2);
    return;
  }
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  for (let piece; !(piece = await reader.read()).done;) shown.textContent += piece.value;
}
for (const form of document.forms) form.addEventListener("submit", event => {
  event.preventDefault();
  const shown = form.querySelector("output");
  shown.textContent = "";
  ask(form, shown).catch(error => { shown.textContent = String(error); });
});
"""


def _hashed(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


POLICY = (
    f"default-src 'none'; style-src {_hashed(_STYLE)}; script-src {_hashed(_SCRIPT)}; connect-src 'self';"
    " form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
)
"""What the page may do: run its own script, and ask this replica."""


def form_page(spec: ReplicaSpec) -> str:
    """The page as HTML that asks for nothing from elsewhere."""
    forms = "\n".join(_form(each, spec.path_of(each).removeprefix("/")) for each in spec.models)
    body = f"""<main>
{forms}
<p>For programs: <a href="docs">how to ask</a>, <a href="openapi.json">openapi.json</a>.</p>
</main>
<script>{_SCRIPT}</script>"""
    return shell(spec.told, _STYLE, body)


def _form(spec: ModelSpec, path: str) -> str:
    signature = spec.signature
    if signature.probabilities:
        path += "?proba=1"
    example = signature.example.input
    if signature.table:
        fields = [_of_column(each, example.get(each.name)) for each in signature.inputs]
    else:
        fields = [_of_input(each, example.get(each.name)) for each in signature.named]
    table = " data-table" if signature.table else ""
    return f"""<h1>{escape(spec.model)}</h1>
<form data-path="{escape(path)}"{table}>
{"".join(fields)}<button>Ask</button>
<output aria-live="polite"></output>
</form>"""


def _of_column(column: Column, value: Any) -> str:
    kind = "number" if column.type == "integer" else column.type
    told = f'name="{escape(column.name)}" data-type="{kind}"' + (" data-nullable" if column.nullable else "")
    needed = "" if column.nullable or column.type == "string" else " required"
    if column.type == "boolean":
        return _label(column.name, _select(told + needed, [True, False], value, empty=column.nullable))
    if column.type == "string" and column.categories and len(column.categories) <= _CHOSEN and column.closed:
        return _label(column.name, _select(told, list(column.categories), value, empty=column.nullable))
    if column.type == "string":
        return _label(column.name, f'<input {told} value="{escape(_text(value))}">')
    step = "1" if column.type == "integer" else "any"
    shown = f'<input type="number" step="{step}" {told}{needed} value="{escape(_text(value))}">'
    return _label(column.name, shown)


def _of_input(asked: Input, value: Any) -> str:
    told = f'name="{escape(asked.name)}"' + (" required" if asked.required else "")
    match asked.kind:
        case kind if kind in MEDIA:
            accept = escape(",".join(asked.media_types))
            several = " multiple" if asked.many else ""
            field = f'<input type="file" accept="{accept}"{several} {told}>'
        case "boolean":
            field = _select(told, [True, False], value, empty=not asked.required)
        case "number" | "integer":
            step = "1" if asked.kind == "integer" else "any"
            field = f'<input type="number" step="{step}" {told} value="{escape(_text(value))}">'
        case "text":
            field = f"<textarea {told}>{escape(_text(value))}</textarea>"
        case _:
            shown = "" if value is None else json.dumps(value, ensure_ascii=False)
            field = f"<textarea {told}>{escape(shown)}</textarea>"
    return _label(asked.name, field)


def _label(name: str, field: str) -> str:
    return f"<label><span>{escape(name)}</span>{field}</label>\n"


def _select(told: str, values: list[Any], chosen: Any, *, empty: bool) -> str:
    options = ["<option></option>"] if empty else []
    for each in values:
        selected = " selected" if each == chosen and type(each) is type(chosen) else ""
        options.append(f'<option value="{escape(_text(each))}"{selected}>{escape(_text(each))}</option>')
    return f"<select {told}>{''.join(options)}</select>"


def _text(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value)
