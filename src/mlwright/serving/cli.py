"""Door: `serve`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import click

from mlwright.kernel.errors import Cancelled
from mlwright.terminal import command, say, say_json, say_plan

if TYPE_CHECKING:
    from mlwright.app import Project


@command("serve", example="mlwright serve diagnosis@champion --port 8000", changes=True)
@click.argument("references", metavar="MODEL...", nargs=-1, required=True)
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="0 for any free one."
)
@click.option(
    "--replicas",
    type=click.IntRange(1, 128),
    default=1,
    show_default=True,
    help="How many processes answer; connections are shared out among them.",
)
@click.option(
    "--runtime",
    type=click.Choice(["auto", "native", "onnx"]),
    default="auto",
    show_default=True,
    help="What answers: the model as ONNX, if that was found to answer the same; or as it is.",
)
@click.option(
    "--token",
    default="",
    metavar="env:NAME|file:PATH",
    help="Where the token is that every request must show; needed where others reach the address.",
)
@click.option(
    "--open",
    "anybody",
    is_flag=True,
    help="Answer whoever reaches the address, without a token.",
)
@click.option(
    "--limit",
    "words",
    multiple=True,
    metavar="NAME=NUMBER",
    help="A limit of requests, as rows=100 or timeout_ms=500; before those of [tool.mlwright.serve].",
)
@click.option(
    "--split",
    "shares",
    multiple=True,
    metavar="MODEL=PERCENT",
    help="A version that answers so many of the requests for the first model; the first has the rest.",
)
@click.option(
    "--shadow",
    multiple=True,
    metavar="MODEL",
    help="A version that is asked the same behind each answer; what it says is only recorded.",
)
def serve(
    project: Project,
    references: tuple[str, ...],
    host: str,
    port: int,
    replicas: int,
    runtime: Literal["auto", "native", "onnx"],
    token: str,
    anybody: bool,
    words: tuple[str, ...],
    shares: tuple[str, ...],
    shadow: tuple[str, ...],
    as_json: bool,
    dry_run: bool,
) -> None:
    """Answer predictions of MODEL over HTTP, in its own environment, until stopped.

    A model of scikit-learn, XGBoost or LightGBM is converted to ONNX beside its first server, or before by
    `models convert`; the next server answers with that, many times as fast.

    A replica that dies is replaced. Ctrl-C and SIGTERM let what was asked be answered first.

    Of several models, made in one environment, `/predict` asks the first, `/models/NAME/predict` each. With
    `--split` and `--shadow` several versions stand behind the first.
    """
    from mlwright.serving import access_by, limits_of, plan_serve, shares_of

    access = access_by(token, anybody=anybody)
    limits = limits_of(project.rooms.project.settings.serve, words)
    split = shares_of(shares)
    if dry_run:
        spec = project.replica_spec(
            *references, runtime=runtime, access=access, limits=limits, split=split, shadow=shadow
        )
        say_plan(plan_serve(spec, host=host, port=port, replicas=replicas), as_json)
        return
    try:
        with project.serve(
            *references,
            host=host,
            port=port,
            replicas=replicas,
            runtime=runtime,
            access=access,
            limits=limits,
            split=split,
            shadow=shadow,
            preparing=None if as_json else say,
        ) as server:
            if as_json:
                say_json({"model": server.model, "url": server.url})
            else:
                say(f"{server.model} answers at {server.url}/predict (how: {server.url}/docs; stop: Ctrl-C)")
            server.wait(news=None if as_json else say)
    except (KeyboardInterrupt, Cancelled):
        if not as_json:
            say("stopped")
