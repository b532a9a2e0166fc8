import json

import keras
import numpy as np
import pytest

from keras_noisyfer import CategoricalTask, Encoder, MultiTaskModel
from keras_noisyfer.training_state import write_state
from noisyfer import main, train


def run(*flags):
    main(["train", "--data", "cifar10", "--image-size", "32", *flags])


@pytest.mark.slow
@pytest.mark.smoke
@pytest.mark.parametrize("method", ["vggnet", "proposed"])
def test_trains_and_writes_its_results(cifar10, tmp_path, capsys, method):
    output = tmp_path / "run"
    run(
        *f"--data-dir {cifar10} --method {method} --width 0.0625 --epochs 1 "
        "--train-size 0 --batch-size 32 --seed 3 "
        f"--out {output}".split()
    )
    names = {each.name for each in output.iterdir()}
    assert names == {
        "history.csv",
        "model.keras",
        "results.json",
        "saved_model",
        "training_curves.png",
        "confusion_matrix_object.png",
    }

    results = json.loads((output / "results.json").read_text())
    assert set(results) == {
        "method",
        "seed",
        "settings",
        "images",
        "classes",
        "rejected",
        "realised_noise",
        "test",
        "history",
    }
    assert results["method"] == method and results["seed"] == 3
    assert results["settings"]["width"] == 0.0625
    assert results["settings"]["train_size"] == 0
    history = results["history"]
    assert history["val_object_accuracy"] == [
        results["test"]["object_accuracy"]
    ]
    assert ("discriminator_loss" in history) == (method == "proposed")
    assert len((output / "history.csv").read_text().splitlines()) == 2

    noise = results["realised_noise"]["object"]
    assert results["images"] == {"train": 64, "test": 32}
    assert [entry["n"] for entry in noise] == [64] * 3
    printed = capsys.readouterr().out
    for index, entry in enumerate(noise):
        wrong = f"{100 * entry['wrong']:.1f} % wrong"
        assert f"object annotator {index}: {wrong}" in printed
    accuracy = results["test"]["object_accuracy"]
    assert f"object_accuracy {accuracy:.4f}" in printed
    assert "2/2 - " in printed and "\r" not in printed

    model = keras.saving.load_model(output / "model.keras")
    with np.load(cifar10) as file:
        images = file["x_test"] / np.float32(127.5) - 1
        clean = file["y_test"][:, 0]
    predicted = model.predict(images, verbose=0)["object"]
    assert predicted.shape == (32, 10)
    accuracy = np.mean(predicted.argmax(axis=-1) == clean)
    assert accuracy == pytest.approx(results["test"]["object_accuracy"])


@pytest.mark.slow
@pytest.mark.smoke
def test_goes_on_where_it_was(cifar10, tmp_path, capsys, unexported):
    def flags(folder, epochs, *more):
        return (
            f"--data-dir {cifar10} --method vggnet --width 0.0625 "
            f"--batch-size 32 --train-size 0 --resume --epochs {epochs} "
            f"--out {tmp_path / folder}"
        ).split() + list(more)

    def read(folder):
        results = json.loads((tmp_path / folder / "results.json").read_text())
        return results["history"], (
            tmp_path / folder / "history.csv"
        ).read_text()

    run(*flags("whole", 2))
    run(*flags("parts", 1))
    # As a process leaves it that is killed after a line and before a state.
    with (tmp_path / "parts" / "history.csv").open("a") as file:
        file.write("1,0.5\n")
    run(*flags("parts", 2))
    assert read("parts") == read("whole")
    assert len(read("parts")[1].splitlines()) == 3
    assert "Epoch 1/2" not in capsys.readouterr().out.rpartition("VGGNet")[2]
    line = run_and_fail(1, capsys, *flags("parts", 3, "--seed", "1"))
    assert "training.npz is of a run with other settings" in line
    assert "Received: global_seed=1, and in the file 0" in line
    line = run_and_fail(1, capsys, *flags("parts", 3, "--test-size", "9"))
    assert "Received: settings.test_size=9, and in the file 0" in line


def test_a_longer_run_keeps_its_warmup(tmp_path, capsys, monkeypatch):
    tasks = [CategoricalTask("mood", 2)]
    model = MultiTaskModel(Encoder(tasks, (32, 32, 3), width=1 / 16))
    model.compile()
    # A quarter of the epochs where the file tells nothing.
    for told, expected in (({"warmup_epochs": 3}, 3), ({}, 10)):
        header = {"settings": {"settings": told}, "epoch": 9, "batch": 2}
        write_state(tmp_path / "training.npz", model, header)

        def load_data(flags):
            raise ValueError(f"a warm-up of {flags.warmup_epochs}")

        monkeypatch.setattr(train, "load_data", load_data)
        flags = ["--out", tmp_path, "--resume", "--epochs", 40]
        line = run_and_fail(1, capsys, *flags)
        assert line == f"error: a warm-up of {expected}"
        line = run_and_fail(2, capsys, *flags[:-1], 9)
        assert line.startswith("error: --epochs must be at least the 10 that")
        line = run_and_fail(1, capsys, *flags, "--warmup-epochs", "5")
        assert line == "error: a warm-up of 5"


def run_and_fail(code, capsys, *flags):
    """Runs the command, which must fail, and returns the line it prints."""
    with pytest.raises(SystemExit) as exit:
        run(*map(str, flags))
    assert exit.value.code == code
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    return line


def test_needs_an_output_dir_before_any_work(tmp_path, capsys, monkeypatch):
    file = tmp_path / "file"
    file.write_text("")
    monkeypatch.setattr(train, "load_data", None)
    line = run_and_fail(1, capsys, "--out", file / "run")
    assert "--out must be a folder" in line and "Not a directory" in line


def test_needs_data(cifar10, tmp_path, capsys):
    output = tmp_path / "run"
    flags = ("--out", output, "--data-dir")
    line = run_and_fail(1, capsys, *flags, tmp_path / "missing.npz")
    assert line.startswith("error: `path` must be an .npz file")
    assert not list(output.iterdir())
    line = run_and_fail(1, capsys, *flags, cifar10, "--train-size", 65)
    assert line.startswith("error: --train-size must be at most 64")


@pytest.mark.parametrize(
    "flags, message",
    [
        ("--method best", "--method must be one of vggnet"),
        ("--width 0", "argument --width: must be above 0. Received: 0"),
        ("--width inf", "argument --width: must be above 0. Received: inf"),
        (
            "--train-size -1",
            "argument --train-size: must be at least 0. Received: -1",
        ),
        ("--test-size 1.5", "argument --test-size: invalid int value"),
        ("--epochs 0", "argument --epochs: must be at least 1. Received: 0"),
        ("--batch-size 0", "argument --batch-size: must be at least 1"),
        ("--learning-rate 0", "argument --learning-rate: must be above 0"),
        ("--learning-rate nan", "argument --learning-rate: must be above 0"),
        ("--lambda-joint -0.1", "argument --lambda-joint: must be at least 0"),
        ("--warmup-epochs -1", "argument --warmup-epochs: must be at least 0"),
        (
            "--epochs 5 --warmup-epochs 5",
            "--warmup-epochs must be less than --epochs",
        ),
        ("--resume --method air", "--resume cannot be given for the method"),
        ("--seed -1", "argument --seed: must be at least 0"),
        (
            "--method sce --lambda-joint 0.3",
            "--lambda-joint cannot be given for the method 'sce'",
        ),
    ],
)
def test_rejects_wrong_flags(tmp_path, capsys, flags, message):
    output = tmp_path / "run"
    line = run_and_fail(2, capsys, *flags.split(), "--out", output)
    assert message in line
    assert not output.exists()
