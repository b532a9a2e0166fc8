import functools
import pathlib
import shutil

import numpy as np
import pytest
from fixtures_faces import (
    affectnet_rows,
    assert_images_belong_to_names,
    machine_rows,
    write_affectnet,
    write_affectnet_sets,
    write_image,
    write_table,
)
from PIL import Image

from keras_noisyfer.datasets.faces.affectnet import (
    AffectNetConfig,
    load_affectnet,
)
from keras_noisyfer.datasets.report import ImportReport

load_affectnet_base = functools.partial(load_affectnet, base=True)


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "cache"


def by_name(rows, column):
    return {row[0]: row[column] for row in rows}


def assert_affect(data, rows):
    affect = np.array([by_name(rows, 7), by_name(rows, 8)])
    expected = [[each[name] for each in affect] for name in data.names]
    np.testing.assert_array_equal(
        data.labels["affect"][:, 0], np.float32(expected)
    )


@pytest.mark.parametrize("alignment", ["eyes", "given"])
@pytest.mark.parametrize("repackaged", [False, True])
def test_eight_expressions_of_people(tmp_path, cache, alignment, repackaged):
    write = write_affectnet_sets if repackaged else write_affectnet
    rows = write(tmp_path)
    for split, count in (("train", 10), ("validation", 8)):
        data = load_affectnet(
            tmp_path, split, alignment=alignment, cache_dir=cache
        )
        kept = [row for row in rows[split] if row[6] < 8]
        assert sorted(data.names) == sorted(row[0] for row in kept)
        assert len(data) == count
        expression, affect = data.tasks
        assert expression.class_names[7] == "contempt"
        ids = by_name(kept, 6)
        expected = [ids[name] for name in data.names]
        assert data.labels["expression"][:, 0].tolist() == expected
        assert data.clean["expression"].tolist() == expected
        assert_affect(data, kept)
        folder = {"train": "tra", "validation": "val"}[split]
        assert_images_belong_to_names(data, folder * repackaged)
    note = "train images left out, of none of the 8 expressions"
    assert data.report.notes == {note: 3}


def test_base_joins_the_machine_labels_by_name(tmp_path, cache):
    rows = write_affectnet(tmp_path)
    train = load_affectnet_base(tmp_path, cache_dir=cache)
    human, machine = by_name(rows["train"], 6), machine_rows(rows["train"])
    assert sorted(train.names) == sorted(by_name(machine, 6))
    assert [task.name for task in train.tasks] == ["expression", "affect"]
    assert train.tasks[0].num_classes == 7
    given, clean = train.labels["expression"][:, 0], train.clean["expression"]
    assert clean.tolist() == [human[name] for name in train.names]
    assert given.tolist() == [(human[name] + 1) % 7 for name in train.names]
    assert set(train.clean) == {"expression"}
    assert_affect(train, rows["train"])
    assert_images_belong_to_names(train)

    validation = load_affectnet_base(tmp_path, "validation", cache_dir=cache)
    human = by_name(rows["validation"], 6)
    # Not the contempt.
    assert len(validation) == 7
    given = validation.labels["expression"][:, 0].tolist()
    assert given == [human[name] for name in validation.names]
    for name in ("expression", "affect"):
        np.testing.assert_array_equal(
            validation.clean[name], validation.labels[name][:, 0]
        )
    what = "images left out, of none of the 7 expressions, or without affect"
    assert validation.report.notes == {
        f"train {what}": 4,
        f"validation {what}": 1,
    }


def test_base_leaves_out_images_without_affect(tmp_path):
    rows = write_affectnet(tmp_path)["train"]
    rows[2][7:] = (-2, -2)
    rows[3][8] = -2
    write_table(tmp_path / "training.csv", rows)
    for base, count in ((True, 7), (False, 10)):
        config = AffectNetConfig(manual_dir=tmp_path, base=base)
        faces = config.read(ImportReport())["train"]
        assert len(faces) == count
    assert np.isnan(faces.valence[rows[2][0]])


@pytest.mark.parametrize(
    "layout",
    [
        {"flat": True, "validation_name": "validate.csv"},
        {
            "table_folder": "Manually_Annotated_file_lists",
            "image_folder": "Manually_Annotated/Manually_Annotated_Images",
            "validation_header": False,
        },
        {"newline": "\r\n", "bom": True},
    ],
)
def test_layouts(tmp_path, layout):
    rows = write_affectnet(tmp_path, **layout)
    config = AffectNetConfig(manual_dir=tmp_path, base=True)
    for split, faces in config.read(ImportReport()).items():
        root = pathlib.Path(config.image_roots[split])
        human = by_name(rows[split], 6)
        assert faces.expression.tolist() == [human[n] for n in faces.index]
        assert len(faces) > 6
        assert all((root / path).is_file() for path in faces.path)
        assert faces.left_x.tolist() == [20] * len(faces)


def test_numbers_may_be_text(tmp_path):
    tables = []
    for text in (True, False):
        folder = tmp_path / str(text)
        write_affectnet_sets(folder, 12, 3, text)
        config = AffectNetConfig(manual_dir=folder)
        tables.append(config.read(ImportReport())["train"])
    assert tables[0].equals(tables[1])
    # By number, not by name: 0.jpg, 1.jpg, ..., 10.jpg.
    assert tables[0].index.tolist() == [f"{i}.jpg" for i in (*range(8), 11)]


def test_faces_are_cut_out_by_their_boxes(tmp_path, cache):
    rows = write_affectnet(tmp_path, 2, 2)
    path = tmp_path / "Manually_Annotated_Images" / rows["train"][0][0]
    write_image(path, 0)
    image = np.zeros((60, 60, 3), "uint8")
    image[10:30, 20:50] = 200
    Image.fromarray(image).save(path, quality=100)
    rows["train"][0][1:5] = (20, 10, 30, 20)
    # Partly outside: what is inside counts.
    rows["train"][1][1:5] = (-10, -10, 300, 300)
    write_table(tmp_path / "training.csv", rows["train"])
    data = load_affectnet(tmp_path, alignment="given", cache_dir=cache)
    images = next(iter(data.batches((64, 64, 3), 2)))[0]
    first = images[data.names.index(rows["train"][0][0])]
    np.testing.assert_allclose((first + 1) * 127.5, 200, atol=12)


def test_published_labels_do_not_fit_the_repackaged_names(tmp_path, cache):
    write_affectnet_sets(tmp_path)
    path = tmp_path / "training_RAFModel.csv"
    for there in (False, True):
        if there:
            write_table(path, machine_rows(affectnet_rows("face", 13)))
        with pytest.raises(ValueError, match="numbers for names.*`relabel`"):
            load_affectnet_base(tmp_path, cache_dir=cache)


def test_other_labels_are_another_data_set(tmp_path):
    def name(folder="tables", **arguments):
        return AffectNetConfig(manual_dir=tmp_path / folder, **arguments).name

    rows = write_affectnet(tmp_path / "tables")
    human, base = name(), name(base=True)
    assert human.startswith("affectnet-eyes-64-")
    assert base.startswith("affectnet-base-eyes-64-")
    assert name() == human and name(base=True) == base
    rows["train"][0][6] = 3
    write_table(
        tmp_path / "tables" / "training_RAFModel.csv",
        machine_rows(rows["train"]),
    )
    assert name() == human and name(base=True) != base
    write_table(tmp_path / "tables" / "training.csv", rows["train"])
    assert name() != human

    write_affectnet_sets(tmp_path / "sets", 2, 2)
    before = name("sets")
    assert name("sets") == before
    annotations = tmp_path / "sets" / "val_set" / "annotations"
    np.save(annotations / "1_exp.npy", np.array("5"))
    assert name("sets") != before


def test_what_machines_say_beyond_the_seven_and_of_no_image(tmp_path, cache):
    rows = write_affectnet(tmp_path)["train"]
    machine = machine_rows(rows)
    kept = [row[0] for row in machine]
    machine[0][6], machine[1][6] = 7, 10
    machine += [[f"9/gone{i}.jpg", *rows[0][1:]] for i in range(3)]
    write_table(tmp_path / "training_RAFModel.csv", machine)
    data = load_affectnet_base(tmp_path, cache_dir=cache)
    assert sorted(data.names) == sorted(kept)
    given = data.labels["expression"][:, 0]
    given = dict(zip(data.names, given, strict=True))
    assert [n for n in kept if given[n] == -1] == kept[:2]
    notes = data.report.notes
    assert notes["machine labels of no image, training_RAFModel.csv"] == 3
    assert notes["machine labels of none of the 7 expressions, missing"] == 2


# === Bad data ===


def rewrite(row, column, value):
    def change(root, rows):
        rows[row][column] = value
        write_table(root / "training.csv", rows)

    return change


def with_image(row, change):
    def apply(root, rows):
        change(root / "Manually_Annotated_Images" / rows[row][0])

    return apply


def fewer_machine_labels(root, rows):
    machine = [row for row in machine_rows(rows) if row[0] != rows[11][0]]
    write_table(root / "training_RAFModel.csv", machine)


# What is done to the data, and what is said of it.
BROKEN = [
    (with_image(0, lambda path: path.unlink()), "face0x.jpg: missing image"),
    (with_image(2, lambda path: path.write_bytes(b"")), "2x.jpg: empty file"),
    (
        with_image(3, lambda path: write_image(path.with_name("new1.jpg"), 9)),
        "100/new1.jpg: image without label",
    ),
    (rewrite(3, 0, "../face3x.jpg"), "100/face3x.jpg: image without label"),
    (rewrite(4, 6, 12), "row 5: unknown expression id"),
    (rewrite(5, 5, ""), "face5x.jpg: no eye positions"),
    (rewrite(6, 0, "101/face1x.jpg"), "101/face1x.jpg: duplicate name"),
    (
        fewer_machine_labels,
        "102/face11x.jpg: no machine label .*RAFModel.csv has labels of 8 of 9",
    ),
]


@pytest.mark.parametrize("change, message", BROKEN)
def test_a_bad_entry_raises(tmp_path, cache, change, message):
    change(tmp_path, write_affectnet(tmp_path)["train"])
    with pytest.raises(ValueError, match=message) as error:
        load_affectnet_base(tmp_path, cache_dir=cache)
    assert "\n" not in str(error.value)


def test_bad_entries_are_counted(tmp_path, cache):
    rows = write_affectnet(tmp_path)["train"]
    for change, _ in BROKEN:
        change(tmp_path, rows)
    data = load_affectnet_base(tmp_path, cache_dir=cache, on_error="skip")
    assert data.report.counts == {
        "missing image": 1,
        "empty file": 1,
        # Of which two lost their label.
        "image without label": 3,
        "path out of the image folder": 1,
        "unknown expression id": 1,
        "no eye positions": 1,
        # In people's table and in the machine's.
        "duplicate name": 2,
        "no machine label": 1,
    }
    assert sorted(data.names) == ["100/face12x.jpg", "101/face1x.jpg"]
    assert data.clean["expression"].tolist() == [1, 1]
    given = data.labels["expression"][:, 0]
    given = dict(zip(data.names, given, strict=True))
    # Of the machine's two labels, too, the first one counts.
    assert given == {"100/face12x.jpg": 2, "101/face1x.jpg": 0}
    assert_images_belong_to_names(data)


@pytest.mark.parametrize(
    "kind, value, message",
    [
        ("exp", None, "train_set/3: malformed label .*3_aro|3.jpg: image with"),
        ("aro", None, "train_set/3: malformed label .*No such file.*3_aro.npy"),
        ("exp", "happy", "train_set/3: malformed label .*could not convert"),
        ("exp", "11", "train_set/3: unknown expression id .11,"),
        ("val", "1.5", r"train_set/3: affect out of \[-1, 1\] .3,1.5,"),
        ("val", "nan", "train_set/3: malformed label .*nan"),
        ("val", ["1", "2"], "train_set/3: malformed label"),
        ("lnd", [1.0, 2.0], "3.jpg: no eye positions"),
    ],
)
def test_bad_annotations(tmp_path, cache, kind, value, message):
    write_affectnet_sets(tmp_path, 5, 2)
    path = tmp_path / "train_set" / "annotations" / f"3_{kind}.npy"
    if value is None:
        path.unlink()
    else:
        np.save(path, np.array(value))
    with pytest.raises(ValueError, match=message) as error:
        load_affectnet(tmp_path, cache_dir=cache)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("on_error", ["raise", "skip"])
def test_an_offset_of_annotations(tmp_path, cache, on_error):
    rows = write_affectnet_sets(tmp_path, 11, 2)["train"]
    for number, row in enumerate(rows):
        path = tmp_path / "train_set" / "annotations" / f"{number}_exp.npy"
        np.save(path, np.array(row[6] + 1))
    with pytest.raises(
        ValueError, match="ids from 1 to 11 in .*train_set"
    ) as e:
        load_affectnet(tmp_path, cache_dir=cache, on_error=on_error)
    assert "skip" not in str(e.value)


@pytest.mark.parametrize(
    "path, message",
    [
        (
            "training.csv",
            "AffectNet lacks its train labels. Looked in .* for training.csv, "
            "Manually_Annotated_file_lists/training.csv. .*mohammadmahoor",
        ),
        (
            "validation.csv",
            "lacks its validation labels.*validation.csv, validate.csv.*mahoor",
        ),
        ("Manually_Annotated_Images", "lacks the images.*Manually_.*mahoor"),
        ("training_RAFModel.csv", "machine labels training_RAF.*sanweiliti"),
    ],
)
def test_missing_pieces(tmp_path, cache, path, message):
    write_affectnet(tmp_path)
    path = tmp_path / path
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    with pytest.raises(ValueError, match=message) as error:
        load_affectnet_base(tmp_path, cache_dir=cache)
    assert "\n" not in str(error.value)


def test_an_empty_table_of_machine_labels(tmp_path, cache):
    write_affectnet(tmp_path)
    (tmp_path / "training_RAFModel.csv").write_text("")
    with pytest.raises(ValueError, match="RAFModel.csv must have the columns"):
        load_affectnet_base(tmp_path, cache_dir=cache)


def test_bad_split(tmp_path, cache):
    write_affectnet(tmp_path, 2, 2)
    with pytest.raises(ValueError, match="`split` .*train, validation"):
        load_affectnet(tmp_path, "test", cache_dir=cache)
