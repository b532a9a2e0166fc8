import json
import pathlib

import pytest
from common import load_recipe

RECIPE = pathlib.Path(__file__).parents[2] / "recipes" / "quickstart.py"


@pytest.fixture
def quickstart(monkeypatch, tmp_path):
    module = load_recipe("quickstart")
    monkeypatch.setattr(module, "TEST_SIZE", 50)
    monkeypatch.setenv("HOME", str(tmp_path))
    return module


@pytest.mark.slow
@pytest.mark.smoke
def test_runs_end_to_end(quickstart, tmp_path, capsys):
    output = tmp_path / "output"
    flags = "--epochs 2 --train-size 64 --width 0.0625"
    quickstart.main([*flags.split(), "--output-dir", str(output)])
    assert {each.name for each in output.iterdir()} == {
        "training_curves.png",
        "confusion_matrix.png",
        "generated_faces.png",
        "saved_decoder",
        "saved_model",
        "results.json",
    }
    results = json.loads((output / "results.json").read_text())
    assert [row["method"] for row in results["results"]] == [
        "VGGNet, all noisy labels",
        "VGGNet, majority vote",
        "Joint-distribution GAN",
    ]
    for row in results["results"]:
        history = results["histories"][row["method"]]
        assert len(history["val_expression_accuracy"]) == 2
        # The last epoch, not the best.
        assert row["accuracy"] == history["val_expression_accuracy"][-1]
        assert row["ccc"] == history["val_affect_ccc"][-1]
    wrong = [each["wrong"] for each in results["realised_noise"]["expression"]]
    assert wrong == pytest.approx([0.3, 0.4, 0.5], abs=0.18)
    printed = capsys.readouterr().out
    assert "expression annotator 2:" in printed
    assert "Joint-distribution GAN" in printed


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
        quickstart, "load_synthetic_faces", lambda *args: pytest.fail("work")
    )
    with pytest.raises(SystemExit, match="error: `output_dir` must be"):
        quickstart.main(["--output-dir", str(tmp_path / "file" / "x")])
