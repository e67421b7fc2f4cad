"""The page a person reads to ask a model: its fields, a request to copy, and the answer to it."""

from __future__ import annotations

import json
import shlex
from html import escape
from typing import Any

from mlwright.sdk.types import with_article
from mlwright.sdk.values import one_of
from mlwright.serving.openapi import example_answer, example_request, seen
from mlwright.serving.openapi_named import single
from mlwright.serving.shell import shell
from mlwright.serving.spec import Limits, ModelSpec, ReplicaSpec
from mlwright.versioning.signatures import Column, Input

_SHOWN = 4000
"""Characters of an example: an array may be long."""
_STYLE = """
:root { color-scheme: light dark }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
table { border-collapse: collapse; width: 100% }
th, td { text-align: left; padding: .25rem .75rem .25rem 0; border-bottom: 1px solid #8885 }
pre { overflow-x: auto; padding: .75rem; border: 1px solid #8885; border-radius: .25rem }
"""


def page(spec: ReplicaSpec, url: str) -> str:
    """The page as HTML that asks for nothing from elsewhere.

    Args:
        url: under which the reader reached the replica, without a slash at the end.
    """
    first = spec.models[0]
    models = "\n".join(
        _model(each, spec.limits, f"{url}/predict" if each is first else url + spec.path_of(each))
        for each in spec.models
    )
    shared = f"<p><code>/predict</code> is answered by {escape(spec.told_group)}.</p>" if spec.group else ""
    body = f"""<main>
{shared}{models}
<p>For programs: <a href="openapi.json">openapi.json</a>. What is wrong with a request is answered as a
problem document (RFC 9457) that names the field and the row.</p>
</main>"""
    return shell(spec.told, _STYLE, body)


def _model(spec: ModelSpec, limits: Limits, target: str) -> str:
    model = escape(spec.model)
    if not spec.signature.table:
        return _model_by_name(spec, limits, target)
    rows = "\n".join(_row(column) for column in spec.signature.inputs)
    body = json.dumps(example_request(spec.signature), ensure_ascii=False)
    command = f"curl {shlex.quote(target)} -H 'content-type: application/json' -d {shlex.quote(body)}"
    return f"""<h1>{model}</h1>
<p>{escape(_answers(spec))}</p>
<h2>Ask it</h2>
<pre><code>{escape(command)}</code></pre>
<p>It answers:</p>
<pre><code>{escape(_pretty(example_answer(spec)))}</code></pre>
<p>Write <code>{{"columns": {{NAME: [...]}}}}</code> instead of <code>rows</code> if you have columns.
{_probabilities(spec)}
At most {limits.rows:,} rows and {limits.body_bytes / 2**20:g} MiB in one request.</p>
<h2>Fields</h2>
<table>
<thead>
<tr><th scope="col">Name</th><th scope="col">Type</th><th scope="col">Seen in training</th></tr>
</thead>
<tbody>
{rows}
</tbody>
</table>
"""


def _model_by_name(spec: ModelSpec, limits: Limits, target: str) -> str:
    signature = spec.signature
    rows = "\n".join(
        f'<tr><th scope="row">{escape(each.name)}</th><td>{escape(_kind(each))}</td>'
        f"<td>{escape(_may_be(each))}</td></tr>"
        for each in signature.named
    )
    return f"""<h1>{escape(spec.model)}</h1>
<p>{escape(_answers(spec))}</p>
<h2>Ask it</h2>
<pre><code>{escape(_command(spec, target))}</code></pre>
<p>It answers:</p>
<pre><code>{escape(_answer_by_name(spec))}</code></pre>
<p>A form (<code>multipart/form-data</code>) has a field for each input; JSON is
<code>{{"inputs": {{NAME: VALUE}}}}</code>, where bytes are
<code>{{"b64": "...", "media_type": "..."}}</code>.
{_probabilities(spec)}
At most {limits.file_bytes / 2**20:g} MiB of files in one request, else {limits.body_bytes / 2**20:g} MiB.</p>
<h2>Inputs</h2>
<table>
<thead>
<tr><th scope="col">Name</th><th scope="col">Kind</th><th scope="col">May be</th></tr>
</thead>
<tbody>
{rows}
</tbody>
</table>
"""


def _kind(asked: Input) -> str:
    return (
        asked.kind + (", one or several" if asked.many else "") + ("" if asked.required else ", if you like")
    )


def _may_be(asked: Input) -> str:
    if asked.kind == "tensor":
        return f"{asked.dtype}, of shape {list(asked.shape)}"
    return one_of(asked.media_types) if asked.media_types else ""


def _command(spec: ModelSpec, target: str) -> str:
    """How the example is asked from a shell: of a file with its name, of all else with what it is."""
    given = spec.signature.example.input
    files = [each for each in spec.signature.named if each.media_types]
    only = single(spec.signature.named)
    if only is not None and files:
        kind = given[only.name]["media_type"]
        return f"curl {shlex.quote(target)} -H 'content-type: {kind}' --data-binary @FILE"
    if files:
        fields = [f"-F {each.name}=@FILE" for each in files if each.name in given]
        plain = {name: value for name, value in given.items() if name not in {each.name for each in files}}
        fields += [f"-F {shlex.quote(f'{name}={_in_form(value)}')}" for name, value in plain.items()]
        return f"curl {shlex.quote(target)} {' '.join(fields)}"
    body = json.dumps(example_request(spec.signature), ensure_ascii=False)
    return f"curl {shlex.quote(target)} -H 'content-type: application/json' -d {shlex.quote(_cut(body))}"


def _answer_by_name(spec: ModelSpec) -> str:
    if not spec.signature.output.stream:
        return _cut(_pretty(example_answer(spec)))
    pieces = [f"data: {json.dumps(each, ensure_ascii=False)}" for each in spec.signature.example.output]
    return _cut("\n\n".join(pieces))


def _in_form(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def _row(column: Column) -> str:
    kind = column.type + (" or null" if column.nullable else "")
    return (
        f'<tr><th scope="row">{escape(column.name)}</th><td>{kind}</td><td>{escape(seen(column))}</td></tr>'
    )


def _answers(spec: ModelSpec) -> str:
    output = spec.signature.output
    if output.stream:
        return f"Answers with server-sent events, {with_article(output.type)} in each."
    if not spec.signature.table and output.classes is None:
        return f"Answers with {with_article(output.type)}."
    if output.classes is None:
        return f"Answers each row with {with_article(output.type)}."
    classes = ", ".join(json.dumps(each, ensure_ascii=False) for each in output.classes)
    return f"Answers each row with one of {classes}."


def _probabilities(spec: ModelSpec) -> str:
    if not spec.signature.probabilities:
        return ""
    return "Ask with <code>?proba=1</code> for the probability of each class as well."


def _pretty(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, indent=2)
