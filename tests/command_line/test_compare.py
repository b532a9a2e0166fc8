"""`noisyfer compare`."""

import json
import pathlib

import numpy as np
import pytest
from PIL import Image

from keras_noisyfer.comparison import choice
from noisyfer import main

COUNT = 300


def write_csv(folder):
    """300 gray images whose shade is their class, two annotators; of the last
    50 the truth is known. Returns the flags that name them."""
    rng = np.random.default_rng(0)
    images = folder / "images"
    images.mkdir()
    lines = ["image,mood.ann,mood.bob,clean.mood,split"]
    for index in range(COUNT):
        mood = index % 2
        shade = np.full((32, 32), 40 + 150 * mood, "uint8")
        Image.fromarray(shade).save(images / f"{index}.png")
        names = ["calm", "glad"]
        given = [names[mood ^ (rng.random() < 0.25)] for _ in range(2)]
        split = "train" if index < 250 else "test"
        lines.append(f"{index}.png,{','.join(given)},{names[mood]},{split}")
    path = folder / "labels.csv"
    path.write_text("\n".join(lines) + "\n")
    flags = [path, "--image-dir", images, "--where", "split=train"]
    return [*flags, "--image-size", 32, "--channels", 1]


def run(output, *flags):
    main(["compare", *map(str, flags), "--out", str(output)])


class Threshold:
    """A model that is told the classes by their shade, or tells nothing."""

    def __init__(self, right, tell):
        self.right, self.tell = right, tell

    def fit(self, dataset, epochs, initial_epoch=0, callbacks=(), verbose=0):
        self.tell()
        for each in callbacks:
            each.set_model(self)
            for epoch in range(initial_epoch, epochs):
                each.on_epoch_end(epoch)

    def predict(self, batches, verbose):
        images = np.concatenate([np.array(image) for image, _ in batches])
        classes = (images.mean(axis=(1, 2, 3)) > 0) & self.right
        return {"mood": np.eye(2)[classes.astype(int)]}

    def save(self, path):
        pathlib.Path(path).write_text("saved")


@pytest.fixture
def untrained(monkeypatch):
    built = []

    def build(method, images, **options):
        def tell():
            built.append((method, options))

        return Threshold(method == "sce", tell), None, 1

    monkeypatch.setattr(choice, "prepare_training", build)
    return built


def test_ranks_the_methods_on_a_table(tmp_path, untrained, capsys):
    flags = [*write_csv(tmp_path), "--methods", "vggnet", "sce", "--epochs", 2]
    output = tmp_path / "run"
    run(output, *flags, "--test-where", "split=test", "--refit")
    printed = capsys.readouterr().out
    assert "accepted: 250 images" in printed
    assert "Use SCE for 1 epoch: it is ahead of all others." in printed
    # On all that it is given: the truth is not in the table that it ranks by.
    table = (output / "ranking.csv").read_text().splitlines()
    assert table[0].startswith("method,title,mean_rank,behind,mood,mood_low")
    assert table[1].startswith("sce,") and ",1.0," in table[1]
    assert (output / "model.keras").read_text() == "saved"
    assert untrained[0][1]["image_shape"] == (32, 32, 1)
    assert [each[0] for each in untrained] == ["vggnet", "sce", "sce"]
    # What is finished is read again.
    run(output, *flags, "--test-where", "split=test")
    assert len(untrained) == 3
    assert json.loads((output / "sce.json").read_text())["epoch"] == 1


@pytest.mark.parametrize(
    "flags, message",
    [
        ([], "give either LABELS.csv and --image-dir, or --data"),
        (["a.csv"], "LABELS.csv needs --image-dir"),
        (["a.csv", "--data", "ferplus"], "give either"),
        (["--data", "sky"], "--data must be one of cifar10, cifar10n"),
        (["--data", "csv"], "--data must be one of cifar10, cifar10n"),
        (["--data", "ferplus"], "missing a required argument: 'data_dir'"),
        (["--data", "synthetic-faces", "--methods", "best"], "best"),
        (["--data", "synthetic-faces", "--minutes", "0"], "must be above 0"),
    ],
)
def test_bad_flags_are_said_in_one_line(flags, message, tmp_path, capsys):
    with pytest.raises(SystemExit) as error:
        run(tmp_path, *flags)
    assert error.value.code == 2
    assert message in capsys.readouterr().err.splitlines()[-1]


def test_files_that_are_not_there_are_a_failure(tmp_path, capsys):
    with pytest.raises(SystemExit) as error:
        run(tmp_path, "--data", "ferplus", "--data-dir", "none")
    assert error.value.code == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ") and "none" in line


def test_test_images_are_not_ranked_on(tmp_path, untrained, capsys):
    flags = write_csv(tmp_path)
    del flags[3:5]
    with pytest.raises(SystemExit):
        run(tmp_path / "run", *flags, "--test-where", "split=test")
    assert "50 image(s) in both, such as 250.png" in capsys.readouterr().err
    assert not untrained
