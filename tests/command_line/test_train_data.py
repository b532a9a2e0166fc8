"""`noisyfer train` on RAF-base, AffectNet-base and one's own CSV file."""

import json

import numpy as np
import pytest
from fixtures_faces import raf_machine, write_affectnet, write_raf
from PIL import Image

from noisyfer import main

SMALL = "--image-size 32 --width 0.0625 --epochs 2 --batch-size 4".split()


def run(output, *flags):
    main(["train", *map(str, flags), *SMALL, "--out", str(output)])
    return json.loads((output / "results.json").read_text())


@pytest.mark.slow
def test_raf_base(tmp_path, capsys):
    labels = write_raf(tmp_path / "rafd" / "basic", train=9, test=5)
    output = tmp_path / "run"
    flags = ["--data", "raf-base", "--data-dir", tmp_path / "rafd"]
    flags += ["--data-option", f"cache_dir={tmp_path}/tfds"]
    results = run(output, *flags)
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
    flags = ["--data", "affectnet-base", "--data-dir", tmp_path / "affectnet"]
    flags += ["--data-option", f"cache_dir={tmp_path}/tfds"]
    flags += ["--data-option", "alignment=given"]
    flags += ["--method", "vggnet"]
    results = run(tmp_path / "run", *flags)
    # Ids 7 to 10 are none of the seven expressions.
    assert results["images"] == {"train": 14, "test": 7}
    (realised,) = results["realised_noise"]["expression"]
    assert realised["wrong"] == 1.0
    assert {"expression_accuracy", "affect_ccc"} <= set(results["test"])


@pytest.mark.parametrize("name", ["raf-base", "affectnet-base"])
def test_a_missing_file_is_named(tmp_path, capsys, name):
    flags = ["--data", name, "--data-dir", tmp_path]
    with pytest.raises(SystemExit) as exit:
        run(tmp_path / "run", *flags)
    assert exit.value.code == 1
    (line,) = capsys.readouterr().err.splitlines()
    file, source = {
        "raf-base": ("list_patition_label.txt", "whdeng.cn"),
        "affectnet-base": ("training.csv", "mohammadmahoor.com"),
    }[name]
    assert line.startswith("error: ") and file in line and source in line


def write_images(root, count):
    root.mkdir()
    for index in range(count):
        image = Image.new("RGB", (40, 40), (20 * index, 80, 120))
        image.save(root / f"{index}.png")


@pytest.mark.slow
@pytest.mark.smoke
def test_own_csv_with_nothing_but_its_header(tmp_path, capsys, monkeypatch):
    cards = []
    monkeypatch.setattr(
        "noisyfer.train.export", lambda *_, card, **options: cards.append(card)
    )
    write_images(tmp_path / "images", 8)
    lines = ["image,mood.ann,mood.bob,clean.mood,valence,arousal"]
    for index in range(8):
        mood = ("sad", "happy", "calm")[index % 3]
        lines.append(f"{index}.png,{mood},sad,{mood},{index / 8},")
    (tmp_path / "labels.csv").write_text("\n".join(lines))
    flags = [tmp_path / "labels.csv", "--image-dir", tmp_path / "images"]
    flags += ["--method", "vggnet"]
    # Half of a label of affect is a label.
    results = run(tmp_path / "run", *flags)
    assert results["images"] == {"train": 8, "test": 0}
    noise = [each["wrong"] for each in results["realised_noise"]["mood"]]
    assert noise == [0.0, pytest.approx(5 / 8)]
    assert results["test"] == {}
    assert results["classes"] == {"mood": ["calm", "happy", "sad"]}
    printed = capsys.readouterr().out
    assert "VGGNet, all noisy labels, images as they are (--augment)" in printed
    # Whether these are faces, nobody knows.
    assert [each.faces for each in cards] == [None]
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
        f"{tmp_path}/labels.csv --image-dir {tmp_path}/images "
        "--image-column file --categorical mood=m1,m2 --continuous affect=v+a "
        "--clean mood=truth --where split=train --test-where split=test "
        "--on-error skip --method vggnet"
    )
    results = run(tmp_path / "run", *flags.split())
    assert results["method"] == "vggnet"
    assert results["images"] == {"train": 5, "test": 4}
    assert {"mood_accuracy", "affect_ccc"} <= set(results["test"])


WITH = "--where, --test-csv, --on-error cannot be given with --data"


@pytest.mark.parametrize(
    "flags, code, message",
    [
        ("gone.csv", 1, "gone.csv, where there is no file"),
        ("gone.csv --clean mood=t", 1, "at least one task must be given"),
        ("gone.csv --classes mood", 2, "argument --classes: "),
        ("gone.csv --categorical mood", 2, "argument --categorical: "),
        ("", 2, "give either LABELS.csv and --image-dir, or --data"),
        ("gone.csv --image-di x", 2, "unrecognized arguments: --image-di"),
        ("--data raf-base", 2, "missing a required argument: 'data_dir'"),
        ("--data crowd-faces --data-option size=4", 2, "'size'"),
        ("--data raf-base --where a=b --test-csv c --on-error skip", 2, WITH),
        ("gone.csv --data-dir a", 2, "--data-dir cannot be given without --da"),
        ("gone.csv --test-size 3", 2, "--test-size cannot be given without a "),
        ("gone.csv --test-image-dir a", 2, "given without --test-csv"),
        ("gone.csv --where a=b --where a=c", 2, "--where must be given once"),
    ],
)
def test_rejects_wrong_flags(tmp_path, capsys, flags, code, message):
    flags = f"{flags} --out {tmp_path}/run".split()
    if "gone.csv" in flags:
        flags += ["--image-dir", tmp_path]
    with pytest.raises(SystemExit) as exit:
        run(tmp_path / "run", *flags)
    assert exit.value.code == code
    assert message in capsys.readouterr().err.splitlines()[-1]
