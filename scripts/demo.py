"""The main job, as a user would type it: from a table to a served, traced, reproduced model.

Run by `make demo` with the interpreter of `.venv`. Each command is echoed before its output. The project
stays in `demo/`; what was edited there is kept when it is run again.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

from mlwright import Client

ROOT = Path(__file__).resolve().parents[1]
DEMO = ROOT / "demo"
MLWRIGHT = Path(sys.executable).with_name("mlwright")


def main() -> None:
    """Run the job, and stop at the first command that fails."""
    began = time.monotonic()
    if edited():
        print("demo/ was edited since it was made: it is used as it is\n")
    else:
        show("init", "demo", cwd=ROOT)
    show("datasets", "add", "data/patients.csv", "--name", "patients")
    show("run", "diagnosis")
    show("run", "diagnosis")
    show("models", "show", "diagnosis@champion")
    ask_the_server()
    show("lineage", "diagnosis@champion")
    show("runs", "reproduce", "latest")
    took = time.monotonic() - began
    print(f"The demo took {took:.0f} s. The project is in {DEMO}, its workspace in .mlwright/ there.")
    print("Next: cd demo, edit pipelines/diagnosis.py, see what would run: mlwright pipelines plan diagnosis")
    print(f"      (the command is {MLWRIGHT}; put it on your PATH: source .venv/bin/activate)")


def edited() -> bool:
    """Whether `demo/` holds a project that `init` would not leave as it is."""
    command = [str(MLWRIGHT), "init", "demo", "--dry-run"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, check=False).returncode == 4


def show(*arguments: str, cwd: Path = DEMO) -> None:
    """Echo a command, run it, and stop the demo when it fails."""
    print(f"$ mlwright {' '.join(arguments)}", flush=True)
    began = time.monotonic()
    done = subprocess.run([str(MLWRIGHT), *arguments], cwd=cwd, check=False)
    print(f"  ({time.monotonic() - began:.2f} s)\n", flush=True)
    if done.returncode:
        sys.exit(done.returncode)


def ask_the_server() -> None:
    """Serve the champion, ask it about a patient, and hold its answer beside the pipeline's own."""
    print("$ mlwright serve diagnosis@champion --port 0 &", flush=True)
    command = [str(MLWRIGHT), "serve", "diagnosis@champion", "--port", "0", "--json"]
    server = subprocess.Popen(command, cwd=DEMO, stdout=subprocess.PIPE, text=True)
    try:
        url = address(server)
        example = recorded_example()
        print(f'>>> from mlwright import Client\n>>> Client("{url}").predict([patient])', flush=True)
        with Client(url) as client:
            prediction = client.predict([example["input"]])
        print(f"the server says     {prediction.predictions[0]}   ({prediction.model}, id {prediction.id})")
        print(f"the pipeline said   {example['output']}")
        if prediction.predictions[0] != example["output"]:
            sys.exit("error: the two do not agree")
        print("they agree\n", flush=True)
    finally:
        server.terminate()
        server.wait(timeout=30)


def address(server: subprocess.Popen[str]) -> str:
    """The URL that the server prints when it is ready."""
    assert server.stdout is not None
    text = ""
    for line in server.stdout:
        text += line
        if line.startswith("}"):
            return str(json.loads(text)["url"])
    sys.exit(server.wait() or 1)


def recorded_example() -> dict[str, object]:
    """A patient of the test data, and what the pipeline predicted when the model was registered."""
    command = [str(MLWRIGHT), "models", "show", "diagnosis@champion", "--json"]
    shown = subprocess.run(command, cwd=DEMO, capture_output=True, text=True, check=True).stdout
    return dict(json.loads(shown)["signature"]["example"])


if __name__ == "__main__":
    main()
