import json
import pathlib

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from noisyfer import data, main

ROOT = pathlib.Path(__file__).parents[2]

SMALL = ["--epochs", "4", "--width", "0.0625", "--batch-size", "8"]


def run(output, *flags):
    main(["audit", *map(str, flags), "--out", str(output)])


@pytest.mark.slow
@pytest.mark.smoke
def test_audits_drawn_faces_and_tells_how_well(tmp_path, capsys, monkeypatch):
    output = tmp_path / "out"
    monkeypatch.setitem(data.DRAWN, "test_size", 20)
    faces = ["--data", "crowd-faces", "--train-size", 40, "--image-size", 32]
    run(output, *SMALL, *faces)
    printed = capsys.readouterr().out
    assert "The most suspect labels of 160:" in printed
    assert "expression, against the truth:" in printed
    labels = pd.read_csv(output / "labels.csv")
    assert len(labels) == 160
    measured = json.loads((output / "measures.json").read_text())
    assert measured["settings"]["images"] == 40
    assert measured["settings"]["warmup_epochs"] == 1
    assert set(measured["measures"]) == {"posterior", "cleanlab"}

    # The same again from its predictions, without training.
    again = tmp_path / "again"
    run(again, "--predictions", output / "predictions.npz", *faces)
    pd.testing.assert_frame_equal(pd.read_csv(again / "labels.csv"), labels)


def test_audits_your_own_files(tmp_path, capsys):
    generator = np.random.default_rng(0)
    rows = ["image,mood.ann,mood.bob,valence,arousal"]
    for index in range(20):
        pixels = generator.integers(0, 256, (32, 32, 3), "uint8")
        Image.fromarray(pixels).save(tmp_path / f"{index}.png")
        mood = ("calm", "glad")[index % 2]
        rows.append(f"{index}.png,{mood},{mood},{0.4 * (index % 2)},0.1")
    table = tmp_path / "labels.csv"
    table.write_text("\n".join(rows))
    predictions = tmp_path / "predictions.npz"
    mood = generator.random((20, 1))
    arrays = {"mood": np.hstack([mood, 1 - mood]), "affect": np.zeros((20, 2))}
    np.savez(predictions, **arrays)
    output = tmp_path / "out"
    flags = [table, "--image-dir", tmp_path, "--predictions", predictions]
    run(output, *flags)
    printed = capsys.readouterr().out
    assert "against the truth" not in printed
    assert "e-" not in printed.partition("The most suspect")[2]
    assert not (output / "measures.json").exists()
    labels = pd.read_csv(output / "labels.csv")
    assert set(labels["annotator"]) == {
        "mood.ann",
        "mood.bob",
        "valence+arousal",
    }
    assert (output / "audit.html").stat().st_size > 10_000

    # Predictions that name their images may come in any order.
    with np.load(output / "predictions.npz") as file:
        arrays = dict(file)
    for name in ("image", "mood", "affect"):
        arrays[name] = arrays[name][::-1]
    np.savez(predictions, **arrays)
    run(tmp_path / "again", *flags)
    again = pd.read_csv(tmp_path / "again" / "labels.csv")
    pd.testing.assert_frame_equal(again, labels)
    gone = np.where(arrays["image"] == "19.png", "gone.png", arrays["image"])
    for name, array, message in (
        ("image", gone, "with none of 19.png"),
        ("mood", arrays["mood"][1:], "with 20 images"),
        ("mood.outputs", ["glad", "calm"], "the table must have the classes"),
    ):
        np.savez(predictions, **{**arrays, name: array})
        with pytest.raises(SystemExit):
            run(tmp_path / "third", *flags)
        assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["a.csv"], 2, "LABELS.csv needs --image-dir"),
        (["--predictions", "none.npz"], 1, "No such file"),
        # Before the data is loaded.
        (["nowhere.csv", "--image-dir", ".", "--model", "m"], 1, "Received: m"),
        (["--model", ""], 1, "--model must be a model or the path of one"),
        (["--model", "{}"], 1, "--model must be a .keras file. Received: "),
        (["--model", "m.keras", "--folds", 2], 2, "not allowed with argument"),
        (
            ["--model", "m", "--method", "elr", "--decay"],
            2,
            "--method, --decay cannot be given with --model or --predictions",
        ),
        (
            ["a.csv", "--image-dir", ".", "--test-csv", "b.csv"],
            2,
            "--test-csv cannot be given where nothing is tested",
        ),
        (
            ["{out}/labels.csv", "--image-dir", "."],
            2,
            "--out must be another folder than that of a table which",
        ),
        (["--method", "best"], 2, "--method must be one of vggnet"),
    ],
)
def test_wrong_flags(tmp_path, capsys, arguments, code, message, monkeypatch):
    monkeypatch.setitem(data.DRAWN, "test_size", 4)
    # Models to serve cannot be audited by.
    served = str(ROOT / "saved_models" / "quickstart" / "1")
    arguments = [str(e).format(served, out=tmp_path) for e in arguments]
    if not arguments[0].endswith(".csv"):
        arguments = [*arguments, "--data", "crowd-faces", "--train-size", 4]
        arguments += ["--image-size", 32]
    with pytest.raises(SystemExit) as error:
        run(tmp_path, *arguments)
    assert error.value.code == code
    (line,) = capsys.readouterr().err.strip().splitlines()[-1:]
    assert "error: " in line and message in line
