import json
import pathlib

import numpy as np
import pytest
from common import load_recipe

from keras_noisyfer.comparison.methods import METHODS

RECIPE = pathlib.Path(__file__).parents[2] / "recipes" / "quickstart.py"


@pytest.fixture
def quickstart(monkeypatch, tmp_path):
    module = load_recipe("quickstart")
    assert set(module.SHOWN) <= set(METHODS)
    # Fewer traces.
    monkeypatch.setattr(module, "SHOWN", ("vggnet", "sce", "proposed"))
    monkeypatch.setattr(module, "TEST_SIZE", 50)
    monkeypatch.setattr(module, "HELD_OUT_SIZE", 50)
    monkeypatch.setenv("HOME", str(tmp_path))
    return module


@pytest.mark.slow
@pytest.mark.smoke
def test_runs_end_to_end(quickstart, tmp_path, capsys):
    output = tmp_path / "output"
    flags = "--epochs 2 --train-size 64 --width 0.0625"
    quickstart.main([*flags.split(), "--output-dir", str(output)])
    assert {each.name for each in output.iterdir()} == {
        *(f"{method}.csv" for method in quickstart.SHOWN),
        "training_curves.png",
        "confusion_matrix.png",
        "generated_faces.png",
        "saved_decoder",
        "saved_model",
        "results.json",
    }
    results = json.loads((output / "results.json").read_text())
    titles = [row["method"] for row in results["results"]]
    assert titles == [
        "VGGNet, all noisy labels",
        "SCE",
        "Joint-distribution GAN",
    ]
    sums = []
    for row in results["results"]:
        history = results["histories"][row["method"]]
        noisy = np.add(
            history["validation_expression_accuracy"],
            history["validation_affect_ccc"],
        )
        # What is chosen by is the noisy labels, of methods and of epochs.
        epoch = int(noisy.argmax())
        sums.append(noisy[epoch])
        assert row["epoch"] == epoch + 1
        clean = history["test_expression_accuracy"]
        assert row["accuracy"] == clean[epoch]
        assert row["last accuracy"] == clean[-1]
        assert row["ccc"] == history["test_affect_ccc"][epoch]
    assert results["chosen"] == titles[int(np.argmax(sums))]
    wrong = [each["wrong"] for each in results["realised_noise"]["expression"]]
    assert wrong == pytest.approx([0.3, 0.4, 0.5], abs=0.18)
    printed = capsys.readouterr().out
    assert "expression annotator 2:" in printed
    assert f"The held-out noisy labels choose {results['chosen']}." in printed


@pytest.mark.parametrize(
    "flags",
    ["--epochs 0", "--train-size 1", "--width 0", "--width nan", "--seed -1"],
)
def test_rejects_flags(quickstart, flags, capsys):
    with pytest.raises(SystemExit) as error:
        quickstart.main(flags.split())
    assert error.value.code == 2
    assert f"argument {flags.split()[0]}: must be" in capsys.readouterr().err


def test_rejects_unwritable_output_before_any_work(
    quickstart, tmp_path, monkeypatch
):
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(
        quickstart, "load_synthetic_faces", lambda *_, **__: pytest.fail("work")
    )
    with pytest.raises(SystemExit, match="error: `output_dir` must be"):
        quickstart.main(["--output-dir", str(tmp_path / "file" / "x")])
