"""Write data/patients.csv: the breast-cancer measurements that ship inside scikit-learn."""

from pathlib import Path

from sklearn.datasets import load_breast_cancer

bunch = load_breast_cancer(as_frame=True)
table = bunch.data.assign(diagnosis=[bunch.target_names[code] for code in bunch.target])
target = Path(__file__).parents[1] / "data" / "patients.csv"
target.parent.mkdir(exist_ok=True)
table.to_csv(target, index=False)
