import json
import types

import pytest
from common import RECIPES, load_recipe

FLAGS = ["--seeds", "0", "1", "0", "--train-size", "4", "--epochs", "2"]
# A run's accuracy by its lambda, where gamma is fixed.
ACCURACY = {0.2: 0.5, 0.4: 0.6, 0.6: 0.7, 0.8: 0.6, 1.0: 0.5, "auto": 0.69}


@pytest.fixture
def recipe(monkeypatch):
    monkeypatch.syspath_prepend(str(RECIPES))
    recipe = load_recipe("automatic_balance")
    monkeypatch.setattr("quickstart.TEST_SIZE", 20)
    return recipe


@pytest.fixture
def trained(recipe, monkeypatch):
    """The lambdas, gammas and seeds of the runs, which are not trained."""
    runs = []

    def train_method(
        method, data, test, seed, lambda_joint, gamma, epochs, **_
    ):
        assert (method, len(data), epochs) == ("proposed", 4, 2)
        runs.append((lambda_joint, gamma, seed))
        accuracy = ACCURACY[lambda_joint] if gamma == 1.0 else 0.72
        accuracy += (0.01, -0.01)[seed]
        history = {
            "val_expression_accuracy": [0.0, accuracy],
            "val_affect_ccc": [0.0, 0.25],
            "val_affect_mse": [0.0, 0.125],
        }
        return None, types.SimpleNamespace(history=history)

    monkeypatch.setattr(recipe, "train_method", train_method)
    return runs


@pytest.mark.slow
@pytest.mark.smoke
def test_prints_the_distance_to_the_best_of_the_grid(
    recipe, trained, tmp_path, capsys
):
    flags = [*FLAGS, "--output-dir", str(tmp_path)]
    recipe.main(flags)
    grid = [(each, 1.0) for each in ACCURACY]
    pairs = [*grid, ("auto", "auto")]
    assert trained == [(*pair, seed) for seed in (0, 1) for pair in pairs]
    out = capsys.readouterr().out
    distances = [line.split() for line in out.splitlines()[-2:]]
    assert distances == [
        ["lambda", "auto", "lambda", "0.6", "-1.000"],
        ["both", "auto", "lambda", "0.6", "2.000"],
    ]
    assert "0.690 ± 0.014" in out

    # Finished runs are kept.
    recipe.main(flags)
    assert len(trained) == 14
    (tmp_path / "lambda_0.4_seed1.json").unlink()
    recipe.main(flags)
    assert trained[14:] == [(0.4, 1.0, 1)]


@pytest.mark.slow
@pytest.mark.smoke
def test_other_settings_need_another_folder(recipe, trained, tmp_path, capsys):
    flags = [*FLAGS, "--output-dir", str(tmp_path)]
    recipe.main(flags)
    path = tmp_path / "lambda_0.2_seed0.json"
    kept = json.loads(path.read_text())
    kept["settings"]["epochs"] = 3
    path.write_text(json.dumps(kept))
    with pytest.raises(SystemExit):
        recipe.main(flags)
    assert "is of other settings" in capsys.readouterr().err
