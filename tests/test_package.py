import importlib
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


def test_its_import_costs_little_beside_that_of_keras():
    code = """
import sys, time
import keras, tensorflow
before, start = set(sys.modules), time.process_time()
import keras_noisyfer
print(time.process_time() - start, *set(sys.modules) - before)
"""
    command = [sys.executable, "-c", code]
    printed = subprocess.run(
        command, capture_output=True, check=True, text=True
    )
    seconds, *modules = printed.stdout.split()
    # Twice what is promised: of other processes, not of this import.
    assert float(seconds) < 0.6
    packages = {each.partition(".")[0] for each in modules}
    others = packages - set(sys.stdlib_module_names) - {"keras_noisyfer"}
    # Nothing of others: no pandas, Matplotlib, TFDS, SciPy, gradio.
    assert not others


def test_the_citation_is_of_this_version():
    citation = (FOLDER.parent / "CITATION.cff").read_text()
    assert f"\nversion: {keras_noisyfer.__version__}\n" in citation


def test_names_are_imported_when_asked_for():
    names = dir(keras_noisyfer)
    assert {"make_dataset", "load_cifar10", "JointDistributionGAN"} < set(names)
    for name in keras_noisyfer._MODULES:
        assert getattr(keras_noisyfer, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'make_datasets'"):
        keras_noisyfer.__getattr__("make_datasets")
    with pytest.raises(AttributeError, match="datasets has no attribute 'csv'"):
        keras_noisyfer.datasets.csv  # noqa: B018


@pytest.mark.parametrize("name", SUBMODULES)
def test_sub_packages_are_there_whatever_was_loaded_before(name, monkeypatch):
    module = importlib.import_module(f"keras_noisyfer.{name}")
    # As in a process that has imported nothing but the package.
    monkeypatch.delattr(keras_noisyfer, name)
    assert name in dir(keras_noisyfer)
    assert getattr(keras_noisyfer, name) is module


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


@pytest.mark.parametrize(
    "name", [each for each in SUBMODULES if (FOLDER / each).is_dir()]
)
def test_public_names_of_sub_packages_are_there(name):
    package = getattr(keras_noisyfer, name)
    for each in getattr(package, "__all__", ()):
        assert getattr(package, each) is not None
        assert each in dir(package)
