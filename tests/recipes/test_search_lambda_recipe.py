import pandas as pd
import pytest
from common import RECIPES, load_recipe

pytest.importorskip("keras_tuner")


@pytest.fixture
def recipe(monkeypatch):
    # It shares the quickstart's faces.
    monkeypatch.syspath_prepend(str(RECIPES))
    return load_recipe("search_lambda")


@pytest.mark.distributed
def test_prints_and_writes_the_trials(recipe, tmp_path, capsys):
    flags = "--max-trials 2 --epochs 2 --train-size 24 --held-out 8"
    flags += " --width 0.0625 --objective joint_loss_distance"
    recipe.main([*flags.split(), "--output-dir", str(tmp_path)])
    out = capsys.readouterr().out
    table = pd.read_csv(tmp_path / "trials.csv")
    assert len(table) == 2
    distance = table["joint_loss_distance"]
    assert distance.is_monotonic_increasing
    assert table["lambda_joint"].between(0.05, 2.0).all()
    assert table["gamma"].between(0.1, 10.0).all()
    chosen = table.iloc[0]
    assert f"Chosen: lambda_joint={chosen['lambda_joint']:.3g}, gamma=" in out
    assert (tmp_path / "curves.png").stat().st_size > 1000
    with pytest.raises(SystemExit):
        recipe.main(
            [*flags.split(), "--output-dir", str(tmp_path), "--seed", "3"]
        )
    assert (
        "are of seed=0; others need an --output-dir" in capsys.readouterr().err
    )


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--objective val_accuracy", "invalid choice: 'val_accuracy'"),
        ("--objective val_loss", "val_expression_accuracy"),
        ("--held-out 600", "--held-out must be smaller than --train-size"),
        ("--max-trials 0", "argument --max-trials"),
        ("--targets nan 1", "argument --targets"),
        ("--lambda-range 2 1", "--lambda-range must have LOW below HIGH"),
    ],
)
def test_rejects_flags(recipe, flags, message, tmp_path, capsys):
    with pytest.raises(SystemExit):
        recipe.main([*flags.split(), "--output-dir", str(tmp_path)])
    assert message in capsys.readouterr().err
