"""The recipes of RAF-base, AffectNet-base and of one's own CSV file."""

import json

import numpy as np
import pytest
from common import load_recipe
from fixtures_faces import raf_machine, write_affectnet, write_raf
from PIL import Image

SMALL = (
    "--image-size 32 --width 0.0625 --epochs 2 --warmup-epochs 1 --batch-size 4"
).split()


def run(name, output, *flags):
    load_recipe(name).main(
        [*map(str, flags), *SMALL, "--output-dir", str(output)]
    )
    return json.loads((output / "results.json").read_text())


@pytest.mark.slow
def test_raf_base(tmp_path, capsys):
    labels = write_raf(tmp_path / "rafd" / "basic", train=9, test=5)
    output = tmp_path / "run"
    flags = ["--data-dir", tmp_path / "rafd", "--cache-dir", tmp_path / "tfds"]
    results = run("raf_base", output, *flags)
    assert results["images"] == {"train": 9, "test": 5}
    train = {n: each for n, each in labels.items() if n.startswith("train")}
    machine, _ = raf_machine(labels)
    wrong = np.mean([machine[name] != each for name, each in train.items()])
    (realised,) = results["realised_noise"]["expression"]
    assert realised["wrong"] == pytest.approx(wrong)
    # Nobody has labelled the affect of the test images.
    assert set(results["test"]) == {"expression_accuracy"}
    assert len(results["history"]["val_expression_accuracy"]) == 2
    assert {each.name for each in output.iterdir()} == {
        "confusion_matrix_expression.png",
        "history.csv",
        "model.keras",
        "results.json",
        "saved_model",
        "training_curves.png",
    }
    printed = capsys.readouterr().out
    assert "expression annotator 0: " in printed
    assert "5 clean test images" in printed


@pytest.mark.slow
@pytest.mark.smoke
def test_affectnet_base(tmp_path, unexported):
    write_affectnet(tmp_path / "affectnet", train=20, validation=9)
    flags = ["--data-dir", tmp_path / "affectnet"]
    flags += ["--cache-dir", tmp_path / "tfds", "--alignment", "given"]
    flags += ["--method", "vggnet"]
    results = run("affectnet_base", tmp_path / "run", *flags)
    # Ids 7 to 10 are none of the seven expressions.
    assert results["images"] == {"train": 14, "test": 7}
    (realised,) = results["realised_noise"]["expression"]
    assert realised["wrong"] == 1.0
    assert {"expression_accuracy", "affect_ccc"} <= set(results["test"])


@pytest.mark.parametrize("name", ["raf_base", "affectnet_base"])
def test_a_missing_file_is_named(tmp_path, capsys, name):
    flags = ["--data-dir", tmp_path, "--output-dir", tmp_path / "run"]
    with pytest.raises(SystemExit) as exit:
        load_recipe(name).main(list(map(str, flags)))
    assert exit.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    file, source = {
        "raf_base": ("list_patition_label.txt", "whdeng.cn"),
        "affectnet_base": ("training.csv", "mohammadmahoor.com"),
    }[name]
    assert line.startswith("error: ") and file in line and source in line


def write_images(root, count):
    root.mkdir()
    for index in range(count):
        image = Image.new("RGB", (40, 40), (20 * index, 80, 120))
        image.save(root / f"{index}.png")


@pytest.mark.slow
@pytest.mark.smoke
def test_own_csv_with_nothing_but_its_header(tmp_path, capsys, unexported):
    write_images(tmp_path / "images", 8)
    lines = ["image,mood.ann,mood.bob,clean.mood,valence,arousal"]
    for index in range(8):
        mood = ("sad", "happy", "calm")[index % 3]
        lines.append(f"{index}.png,{mood},sad,{mood},{index / 8},")
    (tmp_path / "labels.csv").write_text("\n".join(lines))
    flags = ["--csv", tmp_path / "labels.csv"]
    flags += ["--image-root", tmp_path / "images", "--method", "vggnet"]
    # Half of a label of affect is a label.
    results = run("your_csv", tmp_path / "run", *flags)
    assert results["images"] == {"train": 8, "test": 0}
    noise = [each["wrong"] for each in results["realised_noise"]["mood"]]
    assert noise == [0.0, pytest.approx(5 / 8)]
    assert results["test"] == {}
    assert results["classes"] == {"mood": ["calm", "happy", "sad"]}
    printed = capsys.readouterr().out
    assert "accepted: 8 images" in printed
    assert "mood, labels of each class: calm 2, happy 3, sad 11" in printed


@pytest.mark.slow
@pytest.mark.smoke
def test_own_csv_with_flags_for_its_columns(tmp_path, unexported):
    write_images(tmp_path / "images", 9)
    lines = ["file,split,m1,m2,truth,v,a"]
    for index in range(9):
        split = "train" if index < 5 else "test"
        lines.append(f"{index}.png,{split},{index % 2},1,{index % 2},0.5,-1")
    lines.append("gone.png,test,1,1,1,0.5,-1")
    (tmp_path / "labels.csv").write_text("\n".join(lines))
    flags = (
        f"--csv {tmp_path}/labels.csv --image-root {tmp_path}/images "
        "--image-column file --categorical mood=m1,m2 --continuous affect=v+a "
        "--clean mood=truth --where split=train --test-where split=test "
        "--on-error skip --method vggnet"
    )
    results = run("your_csv", tmp_path / "run", *flags.split())
    assert results["method"] == "vggnet"
    assert results["images"] == {"train": 5, "test": 4}
    assert {"mood_accuracy", "affect_ccc"} <= set(results["test"])


@pytest.mark.parametrize(
    "flags, message",
    [
        ("--csv gone.csv", "gone.csv, where there is no file"),
        ("--csv gone.csv --clean mood=t", "at least one task must be given"),
        ("--csv gone.csv --classes mood", "argument --classes: "),
        ("--csv gone.csv --categorical mood", "argument --categorical: "),
        ("", "the following arguments are required: --csv"),
    ],
)
def test_own_csv_rejects_wrong_flags(tmp_path, capsys, flags, message):
    flags = f"{flags} --image-root {tmp_path} --output-dir {tmp_path}/run"
    with pytest.raises(SystemExit) as exit:
        load_recipe("your_csv").main(flags.split())
    assert exit.value.code == 2
    assert message in capsys.readouterr().err.splitlines()[-1]
