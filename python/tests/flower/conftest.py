"""Marks of slow tests, and shared fixtures. `-m "not simulation and not deployment"` skips slow
tests.
"""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path

import pytest

os.environ.setdefault("FLWR_TELEMETRY_ENABLED", "0")
os.environ.setdefault("FLWR_DISABLE_UPDATE_CHECK", "1")
os.environ.setdefault("FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION", "1")

HERE = Path(__file__).parent
EXAMPLE = HERE.parents[1] / "examples" / "flower"
sys.path[:0] = [str(HERE), str(EXAMPLE)]


def pytest_configure(config: pytest.Config) -> None:
    """Names the marks."""
    config.addinivalue_line("markers", "simulation: runs Flower's simulation engine (Ray), about a minute")
    config.addinivalue_line("markers", "deployment: runs SuperLink and SuperNodes on loopback, some minutes")


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """The output of Flower's logger."""
    caplog.set_level(logging.INFO, logger="flwr")
    return caplog


@pytest.fixture(autouse=True)
def task(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sets the task of the process, as Flower does. Messages are made with it."""
    from flwr.supercore.task_identity import TaskIdentity

    for name, value in {"run_id": 1, "node_id": 1, "task_id": 1}.items():
        monkeypatch.setattr(TaskIdentity, f"_{name}", value)
