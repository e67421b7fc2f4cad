"""Autologgers, callbacks and models of frameworks."""

from tests.server.conformance.scenario import Session, scenario


def _run(s: Session, run_id: str) -> dict[str, object]:
    """A run without what differs from fit to fit."""
    run = s.client.get_run(run_id)
    return {
        "name": run.info.run_name,
        "status": run.info.status,
        "params": run.data.params,
        "metrics": run.data.metrics,
        "tags": {
            key: value for key, value in run.data.tags.items() if not key.startswith("mlflow.log-model")
        },
        "inputs": [
            (
                each.dataset.name,
                each.dataset.digest,
                each.dataset.source_type,
                each.dataset.schema,
                each.dataset.profile,
                {tag.key: tag.value for tag in each.tags},
            )
            for each in (run.inputs.dataset_inputs if run.inputs else [])
        ],
        "outputs": len(run.outputs.model_outputs) if run.outputs else None,
    }


def _files(s: Session, run_id: str, path: str | None = None) -> list[str]:
    found = []
    for each in s.client.list_artifacts(run_id, path):
        found += _files(s, run_id, each.path) if each.is_dir else [each.path]
    return found


@scenario(
    "POST logged-models",
    "POST runs/outputs",
    "POST runs/log-batch",
    "PUT mlflow-artifacts/artifacts/{path}",
    shows=("`mlflow.sklearn.autolog()`, one `fit`",),
    needs=("sklearn",),
    requests={"sklearn fit": 25},
)
def sklearn_autolog(s: Session) -> None:
    """One fit under scikit-learn's autologger leaves a run, a logged model and its files."""
    import numpy
    from sklearn.linear_model import LogisticRegression

    mlflow = s.mlflow
    features = numpy.array([[0.0, 1.0], [1.0, 0.5], [2.0, 0.0], [3.0, 1.5], [4.0, 1.0], [5.0, 0.0]])
    mlflow.sklearn.autolog(silent=True)
    try:
        s.begin("sklearn fit")
        mlflow.set_experiment("sklearn")
        LogisticRegression().fit(features, numpy.array([0, 0, 0, 1, 1, 1]))
        s.begin("sklearn_autolog")
    finally:
        mlflow.sklearn.autolog(disable=True)
    run = mlflow.last_active_run().info.run_id
    s.tell("run", _run(s, run))
    s.tell("files", _files(s, run))
    model = mlflow.search_logged_models(
        experiment_ids=[mlflow.get_run(run).info.experiment_id], output_format="list"
    )[0]
    s.tell(
        "model",
        {
            "name": model.name,
            "status": str(model.status),
            "type": model.model_type,
            "params": model.params,
            "tags": sorted(model.tags),
            "metrics": sorted((each.key, each.value) for each in model.metrics or []),
        },
    )
    s.tell("model files", sorted(each.path for each in s.client.list_logged_model_artifacts(model.model_id)))
    s.tell("predicts", mlflow.pyfunc.load_model(f"models:/{model.model_id}").predict(features))


@scenario(
    "POST registered-models/create",
    "POST model-versions/create",
    "GET registered-models/alias",
    "GET model-versions/get-download-uri",
    shows=("`mlflow.sklearn.log_model`", '`mlflow.pyfunc.load_model("models:/name@champion")`'),
    needs=("sklearn",),
    requests={"load by alias": 12},
)
def a_model_by_its_alias(s: Session) -> None:
    """A model is logged, registered, given an alias, and loaded by that."""
    import numpy
    from mlflow.models import infer_signature
    from sklearn.tree import DecisionTreeClassifier

    mlflow = s.mlflow
    mlflow.set_experiment("alias")
    features, labels = numpy.array([[0.0], [1.0], [2.0], [3.0]]), numpy.array([0, 0, 1, 1])
    tree = DecisionTreeClassifier(random_state=0).fit(features, labels)
    with mlflow.start_run(run_name="logs a model") as run:
        told = mlflow.sklearn.log_model(
            tree,
            name="model",
            registered_model_name="loaded",
            signature=infer_signature(features, labels),
            input_example=features[:2],
            pip_requirements=["scikit-learn"],
            skops_trusted_types=["sklearn.tree._tree.Tree"],
            serialization_format="skops",
        )
    s.tell(
        "told",
        {
            "flavors": sorted(told.flavors),
            "uri": told.model_uri,
            "version": told.registered_model_version,
            "signature": told.signature.to_dict(),
        },
    )
    s.client.set_registered_model_alias("loaded", "champion", "1")
    s.begin("load by alias")
    model = mlflow.pyfunc.load_model("models:/loaded@champion")
    s.begin("a_model_by_its_alias")
    s.tell("predicts", model.predict(features))
    s.tell("by version", mlflow.sklearn.load_model("models:/loaded/1").predict(features))
    s.tell("newest", mlflow.pyfunc.load_model("models:/loaded/latest").predict(features))
    s.tell("by run", mlflow.pyfunc.load_model(f"runs:/{run.info.run_id}/model").predict(features))
    s.tell(
        "information", {"flavors": sorted(mlflow.models.get_model_info("models:/loaded@champion").flavors)}
    )
    s.tell("version", s.client.get_model_version("loaded", "1"))
    s.tell("run", _run(s, run.info.run_id))
    s.ask("an unknown alias", mlflow.pyfunc.load_model, "models:/loaded@nobody")
    s.ask("an unknown model", mlflow.pyfunc.load_model, "models:/never heard of/1")
    registered = mlflow.register_model(told.model_uri, "loaded", tags={"again": "yes"})
    s.tell("registered again", registered)


@scenario(
    "POST runs/log-batch", "POST logged-models", shows=("`mlflow.xgboost.autolog()`",), needs=("xgboost",)
)
def xgboost_autolog(s: Session) -> None:
    """Training under XGBoost's autologger leaves its metrics of each round, its parameters and its model."""
    import numpy
    import xgboost

    mlflow = s.mlflow
    mlflow.set_experiment("xgboost")
    generator = numpy.random.default_rng(0)
    features = generator.normal(size=(60, 3))
    data = xgboost.DMatrix(features, label=(features[:, 0] > 0).astype(int))
    mlflow.xgboost.autolog(silent=True, importance_types=[])
    try:
        booster = xgboost.train(
            {"objective": "binary:logistic", "max_depth": 2, "nthread": 1, "seed": 0},
            data,
            num_boost_round=5,
            evals=[(data, "train")],
            verbose_eval=False,
        )
    finally:
        mlflow.xgboost.autolog(disable=True)
    run = mlflow.last_active_run().info.run_id
    s.tell("run", _run(s, run))
    s.tell("history", [(each.step, each.value) for each in s.client.get_metric_history(run, "train-logloss")])
    s.tell("files", _files(s, run))
    loaded = mlflow.xgboost.load_model(f"runs:/{run}/model")
    s.tell("predicts alike", bool((loaded.predict(data) == booster.predict(data)).all()))


@scenario(
    "POST runs/create",
    "POST runs/log-batch",
    shows=("Optuna's `MLflowCallback`",),
    needs=("optuna", "optuna_integration"),
)
def optuna_callback(s: Session) -> None:
    """A study with Optuna's callback leaves one run for each trial."""
    import optuna
    from optuna_integration.mlflow import MLflowCallback

    optuna.logging.disable_default_handler()
    callback = MLflowCallback(tracking_uri=s.url, metric_name="square", mlflow_kwargs={"nested": True})
    study = optuna.create_study(study_name="parabola", sampler=optuna.samplers.RandomSampler(seed=1))

    @callback.track_in_mlflow()
    def objective(trial: object) -> float:
        x = trial.suggest_float("x", -2, 2)
        s.mlflow.log_param("half", x / 2)
        return x * x

    study.optimize(objective, n_trials=3, callbacks=[callback])
    runs = s.mlflow.search_runs(
        experiment_names=["parabola"], order_by=["metrics.square"], output_format="list"
    )
    s.tell(
        "runs",
        [
            (
                each.info.run_name,
                each.info.status,
                each.data.params,
                each.data.metrics,
                {key: value for key, value in each.data.tags.items() if "datetime" not in key},
            )
            for each in runs
        ],
    )
    best = s.mlflow.search_runs(
        experiment_names=["parabola"], order_by=["metrics.square ASC"], max_results=1, output_format="list"
    )[0]
    s.tell("best", best.data.metrics["square"] == study.best_value)


@scenario("POST runs/log-batch", shows=("PyTorch Lightning's `MLFlowLogger`",), needs=("torch", "lightning"))
def lightning_logger(s: Session) -> None:
    """Lightning's logger keeps hyperparameters and metrics."""
    from lightning.pytorch.loggers import MLFlowLogger

    logger = MLFlowLogger(experiment_name="lightning", tracking_uri=s.url, run_name="lightning")
    logger.log_hyperparams({"lr": 0.1, "layers": [1, 2]})
    for step in range(3):
        logger.log_metrics({"loss": 1 / (step + 1)}, step)
    logger.finalize("success")
    s.tell("run", _run(s, logger.run_id))
    s.tell(
        "history", [(each.step, each.value) for each in s.client.get_metric_history(logger.run_id, "loss")]
    )
