"""The package as a whole: its exports, its version and types, and the examples in its
documentation.
"""

from __future__ import annotations

import doctest
import inspect
import subprocess
import sys
from importlib import metadata, resources
from pathlib import Path

import cipherfold as cf
import pytest

PARTS = [cf, cf.errors, cf.paillier, cf.simulate]


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.__name__)
def test_examples(part: object) -> None:
    assert doctest.testmod(part).failed == 0  # type: ignore[arg-type]


def test_readme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All examples in the README run, in order."""
    monkeypatch.chdir(tmp_path)
    found = doctest.testfile(str(Path(__file__).parents[1] / "README.md"), module_relative=False)
    assert found.failed == 0 and found.attempted > 10


def test_everything_public_is_documented() -> None:
    for part in PARTS:
        for name in part.__all__:
            thing = getattr(part, name)
            if name.startswith("__") or inspect.ismodule(thing):
                continue
            assert inspect.getdoc(thing), name
            if inspect.isclass(thing) and thing.__module__ == "cipherfold":
                for member, value in vars(thing).items():
                    if not member.startswith("_"):
                        assert inspect.getdoc(value), f"{name}.{member}"


def test_classes_name_the_package_as_their_module() -> None:
    for name in cf.__all__:
        thing = getattr(cf, name)
        if inspect.isclass(thing):
            assert thing.__module__.split(".")[0] == "cipherfold" and thing.__name__ == name


def test_version_and_types() -> None:
    assert cf.__version__ == metadata.version("cipherfold")
    assert resources.files("cipherfold").joinpath("py.typed").is_file()
    assert resources.files("cipherfold").joinpath("_cipherfold.pyi").is_file()


def test_stubs_are_right() -> None:
    check = subprocess.run([sys.executable, "-m", "mypy.stubtest", "cipherfold._cipherfold"], capture_output=True, text=True)
    assert check.returncode == 0, check.stdout + check.stderr


def test_importing_starts_nothing() -> None:
    program = "import sys, threading, cipherfold; print(threading.active_count(), 'torch' in sys.modules, 'flwr' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert out == "1 False False\n"
