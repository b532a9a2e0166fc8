import pytest

import keras_noisyfer


def test_names_are_imported_when_asked_for():
    names = dir(keras_noisyfer)
    assert {"make_dataset", "load_cifar10", "JointDistributionGAN"} < set(names)
    for name in keras_noisyfer._MODULES:
        assert getattr(keras_noisyfer, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'make_datasets'"):
        keras_noisyfer.__getattr__("make_datasets")


def test_says_what_needs_tensorflow(monkeypatch):
    def fail(name):
        raise ModuleNotFoundError("No module", name="tensorflow")

    monkeypatch.setattr("importlib.import_module", fail)
    with pytest.raises(ModuleNotFoundError, match="relabel needs TensorFlow"):
        keras_noisyfer.__getattr__("relabel")
