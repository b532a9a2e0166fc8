import json

import numpy as np
import pandas as pd
import pytest
from common import RECIPES, load_recipe
from PIL import Image

SMALL = ["--epochs", "4", "--width", "0.0625", "--batch-size", "8"]


@pytest.fixture
def recipe(monkeypatch):
    # It shares the quickstart's faces.
    monkeypatch.syspath_prepend(str(RECIPES))
    recipe = load_recipe("audit")
    monkeypatch.setattr("quickstart.TEST_SIZE", 20)
    return recipe


@pytest.mark.slow
@pytest.mark.smoke
def test_audits_drawn_faces_and_tells_how_well(recipe, tmp_path, capsys):
    output = tmp_path / "out"
    arguments = ["--train-size", "40", "--output-dir", str(output)]
    recipe.main([*SMALL, *arguments])
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
    predictions = str(output / "predictions.npz")
    arguments = ["--train-size", "40", "--output-dir", str(again)]
    recipe.main(["--predictions", predictions, *arguments])
    pd.testing.assert_frame_equal(pd.read_csv(again / "labels.csv"), labels)


def test_audits_your_own_files(recipe, tmp_path, capsys):
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
    flags = [
        *("--csv", str(table), "--image-root", str(tmp_path)),
        *("--predictions", str(predictions)),
    ]
    recipe.main([*flags, "--output-dir", str(output)])
    printed = capsys.readouterr().out
    assert "against the truth" not in printed
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
        arrays = {name: array[::-1] for name, array in file.items()}
    np.savez(predictions, **arrays)
    recipe.main([*flags, "--output-dir", str(tmp_path / "again")])
    again = pd.read_csv(tmp_path / "again" / "labels.csv")
    pd.testing.assert_frame_equal(again, labels)
    arrays["image"][0] = "gone.png"
    np.savez(predictions, **arrays)
    with pytest.raises(SystemExit):
        recipe.main([*flags, "--output-dir", str(tmp_path / "third")])
    assert "with none of 19.png" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--csv", "a.csv"], "--csv and --image-root must be given together"),
        (["--predictions", "none.npz"], "No such file"),
        (["--model", "none.keras"], "none.keras"),
    ],
)
def test_wrong_flags(recipe, tmp_path, capsys, arguments, message):
    with pytest.raises(SystemExit):
        recipe.main(
            [*arguments, "--train-size", "4", "--output-dir", str(tmp_path)]
        )
    (line,) = capsys.readouterr().err.strip().splitlines()[-1:]
    assert line.startswith("error: ") and message in line


def measures(seed, auroc, ccc):
    names = (
        "precision_at_100",
        "consensus",
        "majority_vote",
        "dawid_skene",
        "noise_rate_error",
        "confusion_error",
    )
    return {
        "settings": {"seed": seed, "folds": 0},
        "measures": {
            "posterior": {
                "mood": {"auroc": auroc, **dict.fromkeys(names, 0.5)},
                "affect": {
                    "rank_correlation": -0.5,
                    "consensus_ccc": ccc,
                    "mean_vote_ccc": [0.1, 0.2],
                },
            }
        },
    }


def test_summary_over_seeds(tmp_path, capsys):
    summary = load_recipe("audit_summary")
    files = []
    for seed, auroc, ccc in ((0, 0.9, [0.4, 0.6]), (1, 1.0, [0.6, 0.8])):
        files.append(tmp_path / f"{seed}.json")
        files[-1].write_text(json.dumps(measures(seed, auroc, ccc)))
    summary.main(list(map(str, files)))
    printed = capsys.readouterr().out
    assert "posterior, one model  0.950 ± 0.071" in printed
    assert "-0.500 ± 0.000    0.600 ± 0.141  0.150 ± 0.000" in printed
    (tmp_path / "other.json").write_text("[1]")
    with pytest.raises(SystemExit):
        summary.main([str(tmp_path / "other.json")])
    assert "is no measures.json of an audit" in capsys.readouterr().err
