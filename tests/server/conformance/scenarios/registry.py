"""Registered models, versions, aliases, tags, stages."""

from tests.server.conformance.scenario import WRONG, Session, differs, scenario

PATH = "/api/2.0/mlflow"


@scenario(
    "POST registered-models/create",
    "GET registered-models/get",
    "PATCH registered-models/update",
    "POST registered-models/rename",
    "DELETE registered-models/delete",
    "POST registered-models/set-tag",
    "DELETE registered-models/delete-tag",
)
def registered_models(s: Session) -> None:
    """A registered model is made, described, tagged, renamed and deleted."""
    c = s.client
    s.ask("made", c.create_registered_model, "registered 모델", {"team": "a", "n": 1}, "what it is for")
    s.ask("taken", c.create_registered_model, "registered 모델")
    s.ask("no name", c.create_registered_model, "")
    s.ask("a slash", c.create_registered_model, "a/b")
    s.ask("a colon", c.create_registered_model, "a:b")
    s.ask("read", c.get_registered_model, "registered 모델")
    s.ask("unknown", c.get_registered_model, "registered nothing")
    s.ask("described", c.update_registered_model, "registered 모델", "another text")
    s.ask("tag", c.set_registered_model_tag, "registered 모델", "team", "b")
    s.ask("tag of an unknown one", c.set_registered_model_tag, "registered nothing", "team", "b")
    s.ask("tag removed", c.delete_registered_model_tag, "registered 모델", "n")
    s.ask("tag removed twice", c.delete_registered_model_tag, "registered 모델", "n")
    s.ask("read again", c.get_registered_model, "registered 모델")
    c.create_registered_model("registered two")
    s.ask("renamed to a taken name", c.rename_registered_model, "registered 모델", "registered two")
    s.ask("renamed", c.rename_registered_model, "registered 모델", "registered renamed")
    s.ask("old name", c.get_registered_model, "registered 모델")
    s.ask("rename an unknown one", c.rename_registered_model, "registered nothing", "x")
    s.ask("rename to nothing", c.rename_registered_model, "registered two", " ")
    s.ask("deleted", c.delete_registered_model, "registered two")
    s.ask("deleted twice", c.delete_registered_model, "registered two")
    s.ask("made again", c.create_registered_model, "registered two")
    s.http("by hand, nothing", "POST", f"{PATH}/registered-models/create", {})
    s.http(
        "by hand, a tag without a key",
        "POST",
        f"{PATH}/registered-models/create",
        {"name": "by hand", "tags": [{"value": "x"}]},
    )
    s.http("by hand, get nothing", "GET", f"{PATH}/registered-models/get")
    s.http("by hand, update nothing", "PATCH", f"{PATH}/registered-models/update", {})
    s.http(
        "by hand, rename without a new name",
        "POST",
        f"{PATH}/registered-models/rename",
        {"name": "registered two"},
    )


@scenario(
    "GET registered-models/search",
)
def searching_registered_models(s: Session) -> None:
    """Registered models are found by name and tag, in an order, page by page."""
    for index, name in enumerate(("find-a", "find-B", "find-c", "find-d")):
        s.client.create_registered_model(name, {"colour": "red" if index % 2 else "blue"})

    def names(text: str = "name LIKE 'find-%'", **named: object) -> list[str]:
        return [each.name for each in s.client.search_registered_models(text, **named)]

    for text in (
        "name LIKE 'find-%'",
        "name ILIKE 'FIND-b%'",
        "name = 'find-c'",
        "name != 'find-c' AND name LIKE 'find-%'",
        "tags.colour = 'red' AND name LIKE 'find-%'",
        "tag.colour != 'red' AND name LIKE 'find-%'",
        "tags.colour LIKE 'b%' AND name LIKE 'find-%'",
        "name LIKE 'find-b%'",
        "colour = 'x'",
        "name > 'find-a'",
        "name = find",
        "name LIKE 'find-%' OR name = 'x'",
        "name IN ('find-a')",
    ):
        s.ask(text, names, text)
    for order in (
        ["name DESC"],
        ["name ASC"],
        ["last_updated_timestamp ASC", "name DESC"],
        ["timestamp DESC", "name"],
        ["colour"],
        ["name UP"],
    ):
        s.ask(f"order {order}", names, order_by=order)
    s.ask("too many", names, max_results=1001)
    s.ask("none", names, max_results=0)
    s.ask("garbage token", names, page_token="garbage")
    token, pages = None, []
    while True:
        page = s.client.search_registered_models("name LIKE 'find-%'", max_results=3, page_token=token)
        pages.append([each.name for each in page])
        token = page.token
        if not token:
            break
    s.tell("pages", pages)


def _versions(s: Session, name: str, count: int) -> tuple[str, str]:
    """A model with versions from a run's files; the run's id, and the place of the files."""
    experiment = s.client.create_experiment(name)
    run = s.client.create_run(experiment, run_name=name)
    s.client.log_text(run.info.run_id, "flavors: {}\n", "model/MLmodel")
    s.client.create_registered_model(name)
    source = f"{run.info.artifact_uri}/model"
    for _ in range(count):
        s.client.create_model_version(name, source, run.info.run_id)
    return run.info.run_id, source


@scenario(
    "POST model-versions/create",
    "GET model-versions/get",
    "PATCH model-versions/update",
    "DELETE model-versions/delete",
    "GET model-versions/get-download-uri",
    "POST model-versions/set-tag",
    "DELETE model-versions/delete-tag",
    differs=(
        differs(
            "GET model-versions/get-download-uri",
            "A version keeps files of its own, whatever becomes of the run's.",
            "where",
        ),
        differs("GET model-versions/get", "A number below 1 is no version's.", "by hand, version -1"),
    ),
)
def model_versions(s: Session) -> None:
    """Versions are numbered, described, tagged, found and deleted; a number is never given twice."""
    c, name = s.client, "versions"
    run, source = _versions(s, name, 0)
    s.ask("first", c.create_model_version, name, source, run, {"a": "b"}, description="one")
    s.ask("by runs:", c.create_model_version, name, f"runs:/{run}/model", run)
    s.ask("third", c.create_model_version, name, source)
    s.ask("unknown model", c.create_model_version, "versions of nothing", source, run)
    s.ask("unknown run", c.create_model_version, name, source, "0" * 32)
    s.ask("a file as source", c.create_model_version, name, "file:///etc", run)
    s.ask("a path as source", c.create_model_version, name, "/etc/passwd", run)
    s.ask("a source with dots", c.create_model_version, name, f"{source}/../../..", run)
    s.ask("read", c.get_model_version, name, "1")
    s.ask("read 9", c.get_model_version, name, "9")
    s.ask("read what is no number", c.get_model_version, name, "one")
    s.ask("described", c.update_model_version, name, "1", "another")
    s.ask("tag", c.set_model_version_tag, name, "1", "checked", "yes")
    s.ask("tag 9", c.set_model_version_tag, name, "9", "checked", "yes")
    s.ask("tag removed", c.delete_model_version_tag, name, "1", "a")
    s.ask("tag removed twice", c.delete_model_version_tag, name, "1", "a")
    s.ask("where", c.get_model_version_download_uri, name, "1")
    s.ask("where 9", c.get_model_version_download_uri, name, "9")
    s.ask("deleted", c.delete_model_version, name, "2")
    s.ask("deleted twice", c.delete_model_version, name, "2")
    s.ask("read deleted", c.get_model_version, name, "2")
    s.ask("the last deleted", c.delete_model_version, name, "3")
    s.tell("after the last was deleted", c.create_model_version(name, source, run).version)
    s.ask("model", c.get_registered_model, name)
    s.http("by hand, nothing", "POST", f"{PATH}/model-versions/create", {})
    s.http("by hand, no source", "POST", f"{PATH}/model-versions/create", {"name": name})
    s.http("by hand, get without version", "GET", f"{PATH}/model-versions/get?name={name}")
    s.http("by hand, version 0", "GET", f"{PATH}/model-versions/get?name={name}&version=0")
    s.http("by hand, version -1", "GET", f"{PATH}/model-versions/get?name={name}&version=-1")


@scenario("GET model-versions/search")
def searching_model_versions(s: Session) -> None:
    """Versions are found by model, run, tag and number, in an order, page by page."""
    run, _ = _versions(s, "seek-a", 4)
    _versions(s, "seek-b", 1)
    s.client.set_model_version_tag("seek-a", "2", "good", "yes")

    def found(text: str, **named: object) -> list[str]:
        return [f"{each.name}/{each.version}" for each in s.client.search_model_versions(text, **named)]

    for text in (
        "name = 'seek-a'",
        "name LIKE 'seek-%'",
        f"run_id = '{run}'",
        f"name LIKE 'seek-%' AND run_id != '{run}'",
        f"run_id IN ('{run}', 'x')",
        "tags.good = 'yes'",
        "tags.good != 'yes' AND name LIKE 'seek-%'",
        "version_number > 2 AND name = 'seek-a'",
        "version_number = 1 AND name = 'seek-a'",
        "name ILIKE 'SEEK-a'",
        "version = 1",
        "name = seek",
        "colour = 'x'",
        "name != 'seek-a' AND name LIKE 'seek-%'",
        "source_path LIKE '%model' AND name = 'seek-b'",
    ):
        s.ask(text.replace(run, "RUN"), found, text)
    for order in (
        ["version_number DESC"],
        ["version_number ASC"],
        ["name DESC", "version_number ASC"],
        ["last_updated_timestamp DESC", "version_number"],
        ["creation_timestamp ASC", "version_number"],
        ["colour"],
    ):
        s.ask(f"order {order}", found, "name LIKE 'seek-%'", order_by=order)
    s.ask("too many", found, "name = 'seek-a'", max_results=200_001)
    s.ask("whole", lambda: list(s.client.search_model_versions("name = 'seek-b'")))
    token, pages = None, []
    while True:
        page = s.client.search_model_versions(
            "name = 'seek-a'", max_results=3, order_by=["version_number"], page_token=token
        )
        pages.append([each.version for each in page])
        token = page.token
        if not token:
            break
    s.tell("pages", pages)


@scenario(
    "POST registered-models/alias",
    "GET registered-models/alias",
    "DELETE registered-models/alias",
    differs=(
        differs("POST registered-models/alias", "A number names a version, and is no alias.", "named '12'"),
    ),
)
def aliases(s: Session) -> None:
    """An alias points at a version, moves, is removed, and goes with its version."""
    c, name = s.client, "aliased"
    _versions(s, name, 3)
    s.ask("set", c.set_registered_model_alias, name, "champion", "1")
    s.ask("moved", c.set_registered_model_alias, name, "champion", "2")
    s.ask("another", c.set_registered_model_alias, name, "challenger", "3")
    s.ask("two for one", c.set_registered_model_alias, name, "best", "3")
    s.ask("read", c.get_model_version_by_alias, name, "champion")
    s.ask("in capitals", c.get_model_version_by_alias, name, "Champion")
    s.ask("unknown", c.get_model_version_by_alias, name, "nobody")
    s.ask("of an unknown model", c.get_model_version_by_alias, "aliased nothing", "champion")
    for alias in ("latest", "LATEST", "v3", "v", "12", "a b", "a.b", "a-b_c", "한글", "x" * 256, ""):
        s.ask(f"named {alias[:9]!r}", c.set_registered_model_alias, name, alias, "1")
    c.delete_registered_model_alias(name, "12")
    s.ask("to version 9", c.set_registered_model_alias, name, "champion", "9")
    s.ask("model", c.get_registered_model, name)
    s.ask("removed", c.delete_registered_model_alias, name, "best")
    s.ask("removed twice", c.delete_registered_model_alias, name, "best")
    s.ask("its version deleted", c.delete_model_version, name, "2")
    s.ask("read afterwards", c.get_model_version_by_alias, name, "champion")
    s.tell("left", c.get_registered_model(name).aliases)


@scenario(
    "POST model-versions/transition-stage",
    "POST registered-models/get-latest-versions",
    "GET registered-models/get-latest-versions",
    shows=("stages, as clients of 2.x use them",),
    differs=(
        differs(
            "POST model-versions/transition-stage",
            WRONG,
            "archived and none",
        ),
    ),
)
def stages(s: Session) -> None:
    """Versions move between stages; the latest of each stage is found."""
    c, name = s.client, "staged"
    _versions(s, name, 4)
    s.ask("to staging", c.transition_model_version_stage, name, "1", "Staging")
    s.ask("in small letters", c.transition_model_version_stage, name, "2", "staging")
    s.ask("to production", c.transition_model_version_stage, name, "3", "Production")
    s.ask("latest", c.get_latest_versions, name)
    s.ask("latest in one", c.get_latest_versions, name, ["Staging"])
    s.ask("latest in two", c.get_latest_versions, name, ["Production", "None"])
    s.ask("latest in nonsense", c.get_latest_versions, name, ["Nonsense"])
    s.ask("latest of an unknown model", c.get_latest_versions, "staged nothing")
    s.ask("others archived", c.transition_model_version_stage, name, "4", "Production", True)
    s.tell(
        "afterwards",
        {each.version: each.current_stage for each in c.search_model_versions(f"name = '{name}'")},
    )
    s.ask("archived and none", c.transition_model_version_stage, name, "1", "None", True)
    s.ask("nonsense", c.transition_model_version_stage, name, "1", "Nonsense")
    s.ask("version 9", c.transition_model_version_stage, name, "9", "Staging")
    s.ask("back to none", c.transition_model_version_stage, name, "1", "None")
    s.http("by GET", "GET", f"{PATH}/registered-models/get-latest-versions?name={name}&stages=Production")
    s.http("no stage", "POST", f"{PATH}/model-versions/transition-stage", {"name": name, "version": "1"})
