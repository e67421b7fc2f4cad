"""Experiments."""

from tests.server.conformance.scenario import STRICT, WRONG, Session, differs, scenario

_PLACED = "Where files lie is not for a client to say."


@scenario(
    "POST experiments/create",
    "GET experiments/get",
    "GET experiments/get-by-name",
    "POST experiments/update",
    "POST experiments/delete",
    "POST experiments/restore",
    differs=(differs("POST experiments/update", WRONG, "renamed to a taken name", "rename a deleted one"),),
)
def life_of_an_experiment(s: Session) -> None:
    """An experiment is made, read by id and by name, renamed, deleted, refused while deleted, restored."""
    one = s.client.create_experiment("life 생명 🧬", tags={"team": "blue", "이모지": "🙂"})
    other = s.client.create_experiment("life of another")
    s.ask("read", s.client.get_experiment, one)
    s.ask("read by name", s.client.get_experiment_by_name, "life 생명 🧬")
    s.ask("a name that nothing has", s.client.get_experiment_by_name, "life, unheard of")
    s.ask("the default one", s.client.get_experiment, "0")

    s.ask("a tag without a name", s.client.create_experiment, "life without a name", tags={"": "x"})
    s.ask("taken name", s.client.create_experiment, "life of another")
    s.ask("renamed", s.client.rename_experiment, one, "life renamed")
    s.ask("renamed to a taken name", s.client.rename_experiment, one, "life of another")
    s.ask("read again", s.client.get_experiment, one)

    s.ask("deleted", s.client.delete_experiment, other)
    s.ask("deleted twice", s.client.delete_experiment, other)
    s.ask("read deleted", s.client.get_experiment, other)
    s.ask("read deleted by name", s.client.get_experiment_by_name, "life of another")
    s.ask("name of a deleted one", s.client.create_experiment, "life of another")
    s.ask("rename a deleted one", s.client.rename_experiment, other, "life after death")
    s.ask("a run in a deleted one", s.client.create_run, other)
    s.ask("tag on a deleted one", s.client.set_experiment_tag, other, "a", "b")
    s.ask("restored", s.client.restore_experiment, other)
    s.ask("restored twice", s.client.restore_experiment, other)
    s.ask("read restored", s.client.get_experiment, other)


@scenario("POST experiments/set-experiment-tag", "POST experiments/delete-experiment-tag")
def tags_of_an_experiment(s: Session) -> None:
    """Tags of an experiment are set, set again and removed."""
    one = s.client.create_experiment("tagged")
    s.ask("set", s.client.set_experiment_tag, one, "owner", "kim")
    s.ask("set again", s.client.set_experiment_tag, one, "owner", "lee")
    s.ask("with dots and slashes", s.client.set_experiment_tag, one, "a.b/c d", "1")
    s.ask("a number as value", s.client.set_experiment_tag, one, "count", 3)
    s.ask("empty value", s.client.set_experiment_tag, one, "nothing", "")
    s.tell("all", s.client.get_experiment(one).tags)
    s.ask("removed", s.client.delete_experiment_tag, one, "owner")
    s.ask("removed twice", s.client.delete_experiment_tag, one, "owner")
    s.tell("left", s.client.get_experiment(one).tags)


@scenario("POST experiments/search")
def searching_experiments(s: Session) -> None:
    """Experiments are found by name, pattern, tag, time and life cycle, in an order, page by page."""
    ids = [
        s.client.create_experiment(f"hunt-{name}", tags={"colour": colour, "n": str(index)})
        for index, (name, colour) in enumerate(
            [("alpha", "red"), ("Beta", "green"), ("gamma", "red"), ("delta", "blue"), ("epsilon", "red")]
        )
    ]
    s.client.delete_experiment(ids[3])
    everything = s.mlflow.entities.ViewType.ALL
    deleted = s.mlflow.entities.ViewType.DELETED_ONLY

    def names(*conditions: str, **named: object) -> list[str]:
        found = s.client.search_experiments(
            filter_string=" AND ".join(["name LIKE 'hunt-%'", *conditions]), **named
        )
        return [each.name for each in found]

    s.ask("by pattern", names)
    s.ask("any life cycle", names, view_type=everything)
    s.ask("deleted only", names, view_type=deleted)
    s.ask("by tag", names, "tags.colour = 'red'")
    s.ask("by tag with tag.", names, "tag.colour = 'red'")
    s.ask("tag is not", names, "tags.colour != 'red'", view_type=everything)
    s.ask("tag like", names, "tags.colour LIKE 'gr%'")
    s.ask("tag ilike", names, "tags.colour ILIKE 'GR%'")
    s.ask("name is", names, "name = 'hunt-Beta'")
    s.ask("name is not", names, "name != 'hunt-Beta'")
    s.ask("pattern and case", names, "name LIKE 'hunt-b%'")
    s.ask("ilike", names, "name ILIKE 'HUNT-B%'")
    s.ask("an attribute", names, "attribute.name = 'hunt-alpha'")
    s.ask("two tags", names, "tags.colour = 'red'", "tags.n = '0'")
    s.ask("younger than", names, "creation_time > 1000")
    s.ask("older than", names, "last_update_time < 1000")
    s.ask("order by name", names, order_by=["name"])
    s.ask("order by name, down", names, order_by=["name DESC"])
    s.ask("order by time", names, order_by=["creation_time ASC"])
    s.ask("order by id", names, order_by=["experiment_id DESC"])
    s.ask("an unknown order", names, order_by=["colour DESC"])
    s.ask("an unknown attribute", names, "colour = 'red'")
    s.ask("OR", names, "name = 'a' OR name = 'b'")
    s.ask("no quotes", names, "name = red")
    s.ask("too many", names, max_results=50_001)
    s.ask("none", names, max_results=0)
    s.ask("garbage token", names, page_token="garbage")

    token, pages = None, []
    while True:
        page = s.client.search_experiments(
            filter_string="name LIKE 'hunt-%'", max_results=2, order_by=["name ASC"], page_token=token
        )
        pages.append([each.name for each in page])
        token = page.token
        if not token:
            break
    s.tell("pages", pages)
    s.ask("whole", s.client.search_experiments, filter_string="name = 'hunt-gamma'")
    s.http(
        "search by GET",
        "GET",
        "/api/2.0/mlflow/experiments/search?max_results=1&filter=name%20%3D%20%27hunt-alpha%27",
    )


@scenario(
    "GET experiments/search",
    "POST experiments/create",
    "GET experiments/get",
    "POST experiments/update",
    differs=(
        differs("POST experiments/create", STRICT, "a list"),
        differs("POST experiments/create", _PLACED, "a file URL as place", "a place with dots"),
        differs("GET experiments/get", "Each method is answered below each version's path.", "3.0"),
    ),
)
def experiments_by_hand(s: Session) -> None:
    """Bodies that the client never sends: numbers as text, unknown fields, nothing at all, wrong kinds."""
    path = "/api/2.0/mlflow/experiments"
    made = s.http("made", "POST", f"{path}/create", {"name": "by hand", "unheard_of": {"a": [1]}})
    one = made["experiment_id"]
    s.http(
        "listed by GET",
        "GET",
        f"{path}/search?max_results=1&filter=name%3D%27by%20hand%27&view_type=ACTIVE_ONLY",
    )
    s.http(
        "view type by number",
        "POST",
        f"{path}/search",
        {"max_results": "1", "view_type": 1, "filter": "name='by hand'"},
    )
    s.http("no max_results", "POST", f"{path}/search", {"filter": "name='by hand'"})
    s.http("no name", "POST", f"{path}/create", {})
    s.http("empty name", "POST", f"{path}/create", {"name": ""})
    s.http("name is a number", "POST", f"{path}/create", {"name": 12})
    s.http("name is null", "POST", f"{path}/create", {"name": None})
    s.http("a very long name", "POST", f"{path}/create", {"name": "x" * 501})
    s.http("no JSON", "POST", f"{path}/create", b"{nonsense")
    s.http("a list", "POST", f"{path}/create", [])
    s.http("no body", "POST", f"{path}/create")
    s.http("get nothing", "GET", f"{path}/get")
    s.http("get an unknown one", "GET", f"{path}/get?experiment_id=999999")
    s.http("get what is no number", "GET", f"{path}/get?experiment_id=abc")
    s.http("get by no name", "GET", f"{path}/get-by-name")
    s.http("rename to nothing", "POST", f"{path}/update", {"experiment_id": one, "new_name": ""})
    s.http("rename without a name", "POST", f"{path}/update", {"experiment_id": one})
    s.http("delete an unknown one", "POST", f"{path}/delete", {"experiment_id": "999999"})
    s.http("restore an unknown one", "POST", f"{path}/restore", {"experiment_id": "999999"})
    s.http(
        "tag an unknown one",
        "POST",
        f"{path}/set-experiment-tag",
        {"experiment_id": "999999", "key": "a", "value": "b"},
    )
    s.http("tag without a key", "POST", f"{path}/set-experiment-tag", {"experiment_id": one, "value": "b"})
    s.http(
        "remove a tag that is not there",
        "POST",
        f"{path}/delete-experiment-tag",
        {"experiment_id": one, "key": "a"},
    )
    s.http(
        "a file URL as place",
        "POST",
        f"{path}/create",
        {"name": "by hand, placed", "artifact_location": "file:///etc"},
    )
    s.http(
        "a place with dots",
        "POST",
        f"{path}/create",
        {"name": "by hand, dots", "artifact_location": "mlflow-artifacts:/../x"},
    )
    s.http("3.0", "GET", f"/api/3.0/mlflow/experiments/get?experiment_id={one}")
    s.http("ajax", "GET", f"/ajax-api/2.0/mlflow/experiments/get?experiment_id={one}")
    s.http("read", "GET", f"{path}/get?experiment_id={one}")
