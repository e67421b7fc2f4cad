"""Which of two moons a point lies on: a small network, trained on the processor."""

import numpy as np
import torch

from mlwright import log_metric, pipeline, step
from mlwright.steps import gate


def network(width: int) -> torch.nn.Sequential:
    """Two layers; where a step needs the network, it is built and given its weights."""
    return torch.nn.Sequential(torch.nn.Linear(2, width), torch.nn.Tanh(), torch.nn.Linear(width, 1))


@step
def points(count: int) -> np.ndarray:
    """So many points on each moon, a little off: x, y, and on which."""
    angle = np.random.uniform(0, np.pi, (2, count))
    first = np.stack([np.cos(angle[0]), np.sin(angle[0]), np.zeros(count)])
    second = np.stack([1 - np.cos(angle[1]), 0.5 - np.sin(angle[1]), np.ones(count)])
    table = np.concatenate([first, second], axis=1).T
    table[:, :2] += np.random.normal(0, 0.1, (2 * count, 2))
    return table.astype(np.float32)


@step
def train(table: np.ndarray, width: int, epochs: int) -> dict[str, torch.Tensor]:
    """The weights after so many passes."""
    torch.use_deterministic_algorithms(True)
    model = network(width)
    inputs, truth = torch.tensor(table[:, :2]), torch.tensor(table[:, 2:])
    steps = torch.optim.Adam(model.parameters(), lr=0.05)
    for epoch in range(epochs):
        loss = torch.nn.functional.binary_cross_entropy_with_logits(model(inputs), truth)
        steps.zero_grad()
        loss.backward()
        steps.step()
        log_metric("loss", float(loss), step=epoch)
    return model.state_dict()


@step(seed=None)
def evaluate(weights: dict[str, torch.Tensor], table: np.ndarray, width: int) -> dict[str, float]:
    """The share of points that it puts on the right moon."""
    model = network(width)
    model.load_state_dict(weights)
    with torch.no_grad():
        guess = (model(torch.tensor(table[:, :2])) > 0).numpy()
    return {"accuracy": float((guess == table[:, 2:]).mean())}


@pipeline
def moons(count: int = 200, width: int = 16, epochs: int = 100):
    """Make points, train, evaluate, gate."""
    table = points(count)
    weights = train(table, width, epochs)
    gate(evaluate(weights, table, width), "accuracy >= 0.95")
