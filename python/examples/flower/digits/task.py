"""The model, its training and the data, without Flower and without encryption.

The data are the 1,797 handwritten digits (8 × 8 pixels) that come with scikit-learn. A fifth of
them is for the test. The clients have different data: most of a client's images show only a few of
the ten digits.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_digits

Floats = NDArray[np.float32]
Model = dict[str, Floats]

HIDDEN = 32
BATCH = 16


def initial_model() -> Model:
    """A network with one hidden layer of 32 neurons: 2,410 weights."""
    random = np.random.default_rng(1)
    return {
        "hidden.weight": random.normal(0, 0.18, (64, HIDDEN)).astype(np.float32),
        "hidden.bias": np.zeros(HIDDEN, np.float32),
        "output.weight": random.normal(0, 0.18, (HIDDEN, 10)).astype(np.float32),
        "output.bias": np.zeros(10, np.float32),
    }


def client_data(client: int, clients: int) -> tuple[Floats, NDArray[np.int64]]:
    """The images of a client, and the digits that they show."""
    images, digits = _data()[0]
    random = np.random.default_rng(2)
    shares = random.dirichlet([0.4] * clients, size=10)  # of each digit
    chosen = []
    for digit in range(10):
        rows = random.permutation(np.flatnonzero(digits == digit))
        bounds = (np.cumsum(shares[digit]) * len(rows)).round().astype(int)
        chosen.append(np.split(rows, bounds[:-1])[client])
    rows = np.concatenate(chosen)
    return images[rows], digits[rows]


def train(model: Model, client: int, clients: int, *, epochs: int, rate: float, seed: int) -> tuple[Model, float, int]:
    """Trains on a client's images. Returns the model, the mean loss and the number of images."""
    images, digits = client_data(client, clients)
    model = {name: array.copy() for name, array in model.items()}
    random = np.random.default_rng([seed, client])
    losses = []
    for _ in range(epochs):
        order = random.permutation(len(digits))
        for start in range(0, len(order), BATCH):
            rows = order[start : start + BATCH]
            losses.append(_step(model, images[rows], digits[rows], rate))
    return model, float(np.mean(losses)), len(digits)


def accuracy(model: Model) -> float:
    """The share of test images that the model classifies correctly."""
    images, digits = _data()[1]
    return float((_forward(model, images)[1].argmax(axis=1) == digits).mean())


def _step(model: Model, images: Floats, digits: NDArray[np.int64], rate: float) -> float:
    """One step down the gradient of the cross-entropy."""
    hidden, scores = _forward(model, images)
    odds = np.exp(scores - scores.max(axis=1, keepdims=True))
    odds /= odds.sum(axis=1, keepdims=True)
    rows = np.arange(len(digits))
    loss = float(-np.log(odds[rows, digits] + 1e-12).mean())
    odds[rows, digits] -= 1
    odds /= len(digits)
    back = (odds @ model["output.weight"].T) * (hidden > 0)
    model["output.weight"] -= rate * hidden.T @ odds
    model["output.bias"] -= rate * odds.sum(axis=0)
    model["hidden.weight"] -= rate * images.T @ back
    model["hidden.bias"] -= rate * back.sum(axis=0)
    return loss


def _forward(model: Model, images: Floats) -> tuple[Floats, Floats]:
    hidden = np.maximum(images @ model["hidden.weight"] + model["hidden.bias"], 0)
    return hidden, hidden @ model["output.weight"] + model["output.bias"]


@cache
def _data() -> tuple[tuple[Floats, NDArray[np.int64]], tuple[Floats, NDArray[np.int64]]]:
    images, digits = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(digits))
    images, digits = (images[order] / 16).astype(np.float32), digits[order].astype(np.int64)
    test = len(digits) // 5
    return (images[test:], digits[test:]), (images[:test], digits[:test])
