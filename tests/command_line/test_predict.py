import argparse
import csv
import json
import os

import numpy as np
import pytest
from common import RECIPES
from PIL import Image

from keras_noisyfer import (
    CategoricalTask,
    ContinuousTask,
    Encoder,
    MultiTaskModel,
    export,
)
from noisyfer import flags, main, predict


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    tasks = [
        CategoricalTask("expression", class_names=("neutral", "happy")),
        ContinuousTask("affect", ("valence", "arousal")),
    ]
    path = tmp_path_factory.mktemp("models") / "faces"
    encoder = Encoder(tasks, (32, 32, 3), width=1 / 16)
    export(MultiTaskModel(encoder), path / "1")
    return str(path)


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "faces"
    path.mkdir()
    generator = np.random.default_rng(0)
    for name in ("a.png", "b.jpg"):
        pixels = generator.integers(0, 256, (40, 40, 3), "uint8")
        Image.fromarray(pixels).save(path / name)
    return path


def test_prints_a_table(model, folder, capsys):
    main(["predict", "--model", model, str(folder)])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == [
        "image",
        "expression",
        "expression_probability",
        "affect_valence",
        "affect_arousal",
    ]
    assert [line.split()[0] for line in lines[2:]] == [
        str(folder / "a.png"),
        str(folder / "b.jpg"),
    ]


def test_the_quickstart_model_works_at_once(capsys):
    face = RECIPES.parent / "results" / "quickstart" / "face.png"
    model = RECIPES.parent / "saved_models" / "quickstart"
    main(["predict", "--model", str(model), str(face)])
    *_, values = capsys.readouterr().out.splitlines()
    # What README shows.
    assert values.split()[1:] == ["happy", "0.213", "0.743", "0.391"]


def test_predicts_for_faces_in_a_photograph(
    model, folder, tmp_path, capsys, monkeypatch
):
    boxes = [(5, 10, 35, 40), (0, 0, 20, 20)]
    monkeypatch.setattr(predict, "find_faces", lambda image: boxes)
    figure = str(tmp_path / "faces.png")
    flags = ["predict", "--model", model, "--detect", "--figure", figure]
    main([*flags, str(folder / "a.png")])
    header, _, *rows, drawn = capsys.readouterr().out.splitlines()
    assert drawn == f"Figure: {figure}"
    assert header.split()[:3] == ["image", "left", "top"]
    assert [row.split()[1:3] for row in rows] == [["5", "10"], ["0", "0"]]
    assert Image.open(figure).width > 400
    monkeypatch.setattr(predict, "find_faces", lambda image: [])
    with pytest.raises(SystemExit):
        main(["predict", "--model", model, "--detect", str(folder / "a.png")])
    captured = capsys.readouterr().err
    assert "b.jpg" not in captured
    assert "a.png: no face was found" in captured
    assert "error: 1 of 1 images were not read, or show no face" in captured


@pytest.mark.parametrize("ending", ["csv", "jsonl"])
def test_writes_all_probabilities(model, folder, tmp_path, ending, capsys):
    output = tmp_path / f"predictions.{ending}"
    flags = ["--model", model, "--out", str(output), "--batch-size", "1"]
    main(["predict", *flags, str(folder)])
    written = output.read_text()
    main(["predict", *flags, str(folder)])
    # Where nothing can be read, what was there stays.
    with pytest.raises(SystemExit):
        main(["predict", *flags, str(tmp_path / "nowhere.png")])
    *_, last = capsys.readouterr().out.splitlines()
    assert last == f"0 predictions: nothing was written to {output}"
    assert output.read_text() == written
    if ending == "csv":
        rows = list(csv.DictReader(output.read_text().splitlines()))
    else:
        rows = [json.loads(line) for line in output.read_text().splitlines()]
    assert len(rows) == 2
    for row in rows:
        total = float(row["expression_neutral"]) + float(
            row["expression_happy"]
        )
        assert total == pytest.approx(1, abs=1e-5)
        assert -1 <= float(row["affect_valence"]) <= 1


def test_goes_on_after_a_bad_image_and_ends_with_an_error(
    model, folder, capsys
):
    (folder / "c.jpg").write_text("no image")
    (folder / "empty").mkdir()
    given = [folder / "missing.jpg", folder / "empty", folder]
    with pytest.raises(SystemExit) as error:
        main(["predict", "--model", model, *map(str, given)])
    assert error.value.code == 1
    captured = capsys.readouterr()
    assert captured.err.splitlines() == [
        f"{folder}/missing.jpg: No such file or directory",
        f"{folder}/empty: there is no image in the folder",
        f"{folder}/c.jpg: not an image: unknown or damaged format",
        "error: 3 of 5 images were not read",
    ]
    assert len(captured.out.splitlines()) == 4


def test_a_name_of_other_bytes_does_not_end_the_rest(model, folder, tmp_path):
    os.rename(
        os.fsencode(folder / "a.png"), os.fsencode(folder) + b"/a\xff.png"
    )
    output = tmp_path / "predictions.csv"
    main(["predict", "--model", model, "--out", str(output), str(folder)])
    names = [row["image"] for row in csv.DictReader(output.open())]
    assert names == [f"{folder}/a\\udcff.png", f"{folder}/b.jpg"]


def test_tells_what_it_leaves_out_of_a_folder(model, folder, capsys):
    for name in ("c.heic", "labels.csv"):
        (folder / name).write_text("")
    os.rename(folder / "b.jpg", folder / "b.JFIF")
    main(["predict", "--model", model, str(folder)])
    captured = capsys.readouterr()
    assert captured.err == f"{folder}: 2 other files left out\n"
    assert "b.JFIF" in captured.out


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["{folder}", "--out", "x.xml"], "--out must end with .csv or"),
        (["{folder}", "--out", "x"], "--out must end with .csv or"),
        (
            ["{folder}", "--out", "{folder}/no/x.csv"],
            "--out must be a file that can be written (No such file",
        ),
        (["{folder}", "--model", "nowhere"], "--model must be a folder"),
        (
            ["{folder}/a.png", "--detect", "--figure", "x.xyz"],
            "--figure must end with one of .",
        ),
        (
            ["{folder}/a.png", "--detect", "--figure", "x"],
            "--figure must end with one of .",
        ),
        (
            ["{folder}/a.png", "--detect", "--figure", "no/x.png"],
            "--figure must be in a folder that exists. Received: no/x.png",
        ),
        (
            [
                "{folder}/a.png",
                "--detect",
                "--figure",
                "{folder}/../faces/a.png",
            ],
            "--figure must not be the photograph itself",
        ),
        (["{folder}", "--figure", "x.png"], "--figure must be of the"),
        (["{folder}/a.png", "--figure", "x.png"], "--figure must be of the"),
    ],
)
def test_rejects_flags(model, folder, flags, message, capsys):
    flags = [each.format(folder=folder) for each in flags]
    with pytest.raises(SystemExit):
        main(["predict", "--model", model, *flags])
    assert f"error: {message}" in capsys.readouterr().err


def test_the_model_for_real_faces_is_the_default(tmp_path, monkeypatch):
    def choose(model, detect):
        return flags.choose_model(
            argparse.Namespace(model=model, detect=detect)
        )

    folder = RECIPES.parent / "saved_models" / "ferplus"
    assert choose(None, None) == choose(None, True) == (folder, True)
    assert choose(None, False) == (folder, False)
    # Other models may be of anything.
    assert choose("mine", None) == ("mine", False)
    assert choose("mine", True) == ("mine", True)
    # As where the package is installed without the repository.
    installed = tmp_path / "site-packages" / "noisyfer" / "flags.py"
    monkeypatch.setattr(flags, "__file__", str(installed))
    with pytest.raises(flags.UsageError, match="--model must be given"):
        choose(None, None)
