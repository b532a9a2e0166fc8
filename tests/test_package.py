import importlib
import os
import pathlib
import subprocess
import sys

import pytest

import keras_noisyfer

FOLDER = pathlib.Path(keras_noisyfer.__file__).parent
SUBMODULES = sorted(
    path.stem
    for path in FOLDER.iterdir()
    if (path / "__init__.py").exists()
    or path.suffix == ".py"
    and path.stem != "__init__"
)
# The package as a new process finds it, for each name that it does not load.
FRESH = """
import importlib, sys
import keras_noisyfer
for name in sys.argv[1:]:
    assert name in dir(keras_noisyfer), name
    if name in vars(keras_noisyfer):
        continue
    for loaded in [*sys.modules]:
        if loaded.split(".")[0] == "keras_noisyfer":
            del sys.modules[loaded]
    package = importlib.import_module("keras_noisyfer")
    assert getattr(package, name).__name__ == f"keras_noisyfer.{name}"
print("all there")
"""


def test_names_are_imported_when_asked_for():
    names = dir(keras_noisyfer)
    assert {"make_dataset", "load_cifar10", "JointDistributionGAN"} < set(names)
    for name in keras_noisyfer._MODULES:
        assert getattr(keras_noisyfer, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'make_datasets'"):
        keras_noisyfer.__getattr__("make_datasets")


def test_sub_packages_are_there_whatever_was_loaded_before():
    done = subprocess.run(
        [sys.executable, "-c", FRESH, *SUBMODULES],
        env={**os.environ, "PYTHONPATH": str(FOLDER.parent)},
        capture_output=True,
        text=True,
    )
    assert done.stdout.strip() == "all there", done.stderr


@pytest.mark.parametrize(
    ("package", "name", "message"),
    [
        ("keras_tuner", "tuning", r"needs KerasTuner: .*noisyfer\[tune\]$"),
        ("sklearn", "auditing", r"needs SciPy and .*noisyfer\[audit\]$"),
        ("scipy", "auditing", r"needs SciPy and .*noisyfer\[audit\]$"),
    ],
)
def test_says_which_extra_is_missing(monkeypatch, package, name, message):
    module = getattr(keras_noisyfer, name)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError, match=message):
        importlib.reload(module)


def test_says_what_needs_tensorflow(monkeypatch):
    def fail(name):
        raise ModuleNotFoundError("No module", name="tensorflow")

    monkeypatch.setattr("importlib.import_module", fail)
    for name in ("relabel", "callbacks"):
        with pytest.raises(
            ModuleNotFoundError, match=f"^keras_noisyfer.{name} needs TensorF"
        ):
            keras_noisyfer.__getattr__(name)
