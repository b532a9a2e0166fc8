import numpy as np
import pytest
from ferplus_tables import (
    ANGER,
    CLEAN,
    DISGUST,
    FEAR,
    HAPPY,
    MISSING,
    NEUTRAL,
    ROWS,
    SAD,
    SURPRISE,
    TRAIN,
    face,
    fer2013_lines,
    ferplus_lines,
    pixels,
    write,
    write_tables,
)
from PIL import Image

from keras_noisyfer import noise
from keras_noisyfer.datasets.ferplus import load_ferplus
from keras_noisyfer.datasets.synthetic_faces import EXPRESSIONS


@pytest.fixture
def tables(tmp_path):
    return write_tables(tmp_path)


@pytest.fixture
def folders(tmp_path):
    """What FER+'s script makes of the tables."""
    names = {"Training": "Train", "PublicTest": "Valid", "PrivateTest": "Test"}
    names = {usage: f"FER2013{each}" for usage, each in names.items()}
    lines = {usage: {} for usage in names}
    for row, (usage, name, votes, _) in enumerate(ROWS):
        if name and name not in lines[usage]:
            counts = ",".join(map(str, votes))
            lines[usage][name] = f'{name},"(0, 0, 48, 48)",{counts}'
            folder = tmp_path / names[usage]
            folder.mkdir(exist_ok=True)
            Image.fromarray(face(row)).save(folder / name, compress_level=0)
    for usage, folder in names.items():
        write(tmp_path / folder / "label.csv", lines[usage].values())
    return tmp_path


def names_of(rows):
    return [ROWS[row][1] for row in rows]


def assert_same(data, expected, kept=slice(None)):
    """Asserts that all but the images of `data` are those kept."""
    assert data.names == np.array(expected.names)[kept].tolist()
    for kind in ("labels", "clean", "extras"):
        for name, array in getattr(expected, kind).items():
            np.testing.assert_array_equal(
                getattr(data, kind)[name], array[kept]
            )


# === The layouts ===


def test_reads_the_two_tables(tables):
    data = load_ferplus(tables)
    assert data.names == names_of(TRAIN)
    assert data.images.images.shape == (7, 48, 48, 1)
    for image, row in zip(data.images.images, TRAIN, strict=True):
        np.testing.assert_array_equal(image[..., 0], face(row))
    (task,) = data.tasks
    assert (task.name, task.class_names) == ("expression", EXPRESSIONS)
    assert data.labels["expression"].shape == (7, 3)
    assert data.annotators == {"expression": ["vote 1", "vote 2", "vote 3"]}
    assert data.report.notes == {
        "images that FER+ removed": 1,
        "second rows of an image": 1,
        "images with the pixels of an earlier one": 0,
    }


def test_reads_folders_alike(folders, tmp_path_factory):
    other = write_tables(tmp_path_factory.mktemp("tables"))
    for split in ("train", "validation", "test"):
        data, expected = (load_ferplus(d, split) for d in (folders, other))
        assert_same(data, expected)
        ((images, _),) = data.batches((48, 48, 1), batch_size=8)
        ((arrays, _),) = expected.batches(batch_size=8)
        np.testing.assert_array_equal(images, arrays)


def test_reads_byte_order_mark_and_crlf(tables):
    expected = load_ferplus(tables)
    write_tables(tables, end="\r\n", start="\ufeff")
    assert_same(load_ferplus(tables), expected)


def test_reads_the_other_table_of_kaggle(tables):
    expected = load_ferplus(tables, original_label=True)
    lines = ["{0},{2},{1}".format(*x.split(",")) for x in fer2013_lines()]
    lines[0] = "emotion, Usage, pixels"
    lines[1] = lines[1].replace("0,", "0.0, ", 1)
    (tables / "fer2013.csv").unlink()
    write(tables / "icml_face_data.csv", lines)
    lines = ferplus_lines()
    lines[0] = lines[0].replace(",", " , ")
    write(tables / "fer2013new.csv", lines)
    assert_same(load_ferplus(tables, original_label=True), expected)


# === Labels ===


def test_votes_are_kept_and_their_plurality_is_the_clean_label(tables):
    data = load_ferplus(tables)
    np.testing.assert_array_equal(data.clean["expression"], CLEAN)
    votes = data.extras["votes"]
    assert votes.dtype == np.int32
    np.testing.assert_array_equal(votes, [ROWS[row][2] for row in TRAIN])


@pytest.mark.parametrize(
    "split, clean", [("validation", [SAD, MISSING]), ("test", [ANGER])]
)
def test_evaluation_labels_are_clean(tables, split, clean):
    data = load_ferplus(tables, split, annotators=2)
    np.testing.assert_array_equal(data.labels["expression"], clean)
    np.testing.assert_array_equal(data.clean["expression"], clean)
    assert data.tasks[0].annotators == 2


def test_all_ten_votes_are_the_counts(tables):
    drawn = load_ferplus(tables, annotators=10).labels["expression"]
    in_order = [NEUTRAL, HAPPY, SURPRISE, SAD, ANGER, DISGUST, FEAR]
    for labels, row in zip(drawn, TRAIN, strict=True):
        votes = ROWS[row][2]
        counts = [(labels == each).sum() for each in in_order]
        assert counts == list(votes[:7])
        # Nine votes only, or some for none of the seven.
        assert (labels == MISSING).sum() == 10 - sum(votes[:7])
    # A vote that was never given is the last to be drawn.
    assert drawn[-1].tolist() == [DISGUST] * 9 + [MISSING]


def test_fewer_annotators_are_the_first_ones(tables):
    drawn = load_ferplus(tables, annotators=10).labels["expression"]
    for annotators in (1, 3):
        data = load_ferplus(tables, annotators=annotators)
        np.testing.assert_array_equal(
            data.labels["expression"], drawn[:, :annotators]
        )


def test_each_annotator_draws_like_the_crowd(tmp_path):
    votes = (4, 1, 0, 2, 0, 0, 0, 2, 1, 0)
    count = 4000
    rows = [("Training", f"fer{i:07d}.png", votes, 6) for i in range(count)]
    write(tmp_path / "fer2013new.csv", ferplus_lines(rows))
    black = " ".join(["0"] * 48 * 48)
    lines = [f"6,{black},Training"] * count
    write(tmp_path / "fer2013.csv", ["emotion,pixels,Usage", *lines])
    drawn = load_ferplus(tmp_path).labels["expression"]
    for label, share in (
        (NEUTRAL, 0.4),
        (HAPPY, 0.1),
        (SAD, 0.2),
        (MISSING, 0.3),
    ):
        shares = (drawn == label).mean(axis=0)
        np.testing.assert_allclose(shares, share, atol=0.03)
    # Without replacement the one happy vote is drawn once at most.
    assert (drawn == HAPPY).sum(axis=1).max() == 1


def test_seed_decides_the_votes(tables):
    def drawn(seed):
        return load_ferplus(tables, seed=seed).labels["expression"].tolist()

    assert drawn(1) == drawn(1)
    assert drawn(1) != drawn(2)


def test_original_label_is_one_more_annotator(tables):
    data = load_ferplus(tables, annotators=2, original_label=True)
    assert data.tasks[0].annotators == 3
    assert data.annotators["expression"] == ["vote 1", "vote 2", "FER2013"]
    votes = load_ferplus(tables, annotators=2).labels["expression"]
    np.testing.assert_array_equal(data.labels["expression"][:, :2], votes)
    expected = [ANGER, HAPPY, SURPRISE, SAD, FEAR, NEUTRAL, DISGUST]
    assert data.labels["expression"][:, 2].tolist() == expected
    report = noise.realised_noise(
        data.labels["expression"], data.clean["expression"]
    )
    assert report[2]["wrong"] == pytest.approx(1 / 5)


def test_original_label_is_in_the_tables_only(folders):
    with pytest.raises(ValueError, match="`original_label` must be False"):
        load_ferplus(folders, original_label=True)


# === Bad data ===


@pytest.mark.parametrize(
    "text, detail",
    [
        ("0 1 2", "3 instead of 2304"),
        (pixels(0) + " 7", "2305 instead of 2304"),
        ("", "0 instead of 2304"),
        (pixels(0)[:-1] + "x", "not all are integers"),
        ("300" + " 0" * 2303, "from 0 to 300"),
        ("-1" + " 0" * 2303, "from -1 to 0"),
    ],
)
def test_wrong_pixels(tables, text, detail):
    lines = fer2013_lines()
    lines[4] = f"5,{text},Training"
    write(tables / "fer2013.csv", lines)
    with pytest.raises(
        ValueError, match=rf"fer0000002.png: wrong pixels \({detail}\)"
    ):
        load_ferplus(tables)
    # Another split does not need it.
    assert len(load_ferplus(tables, "test")) == 1

    write(tables / "fer2013.csv", fer2013_lines())
    whole = load_ferplus(tables, original_label=True)
    write(tables / "fer2013.csv", lines)
    data = load_ferplus(tables, original_label=True, on_error="skip")
    assert data.report.counts == {"wrong pixels": 1}
    others = [0, 1, 3, 4, 5, 6]
    assert_same(data, whole, others)
    np.testing.assert_array_equal(
        data.images.images, whole.images.images[others]
    )


def test_bad_files_in_folders(folders):
    whole, folder = load_ferplus(folders), folders / "FER2013Train"
    (folder / "fer0000001.png").write_bytes(b"")
    with pytest.raises(ValueError, match="fer0000001.png: empty file"):
        load_ferplus(folders)
    (folder / "fer0000004.png").unlink()
    text = (folder / "label.csv").read_text()
    (folder / "label.csv").write_text(text + text.splitlines()[0] + "\n")
    data = load_ferplus(folders, on_error="skip")
    assert data.report.counts == {
        "empty file": 1,
        "missing image": 1,
        "duplicate row": 1,
    }
    assert_same(data, whole, [0, 2, 3, 5, 6])


def test_tables_must_have_the_same_rows(tables):
    write(tables / "fer2013.csv", fer2013_lines(ROWS[:-1]))
    with pytest.raises(ValueError, match="Received: 12 and 11 rows"):
        load_ferplus(tables)
    write(tables / "fer2013.csv", fer2013_lines())
    write(tables / "fer2013new.csv", ferplus_lines(ROWS[:-1]))
    with pytest.raises(ValueError, match="Received: 11 and 12 rows"):
        load_ferplus(tables)
    write(tables / "fer2013new.csv", ferplus_lines())
    write(tables / "fer2013.csv", fer2013_lines(ROWS[:3] + ROWS[4:]))
    with pytest.raises(
        ValueError, match="'Training' and 'PublicTest' in row 8"
    ):
        load_ferplus(tables)


def test_missing_files_and_where_they_are(tables):
    (tables / "fer2013.csv").unlink()
    with pytest.raises(
        ValueError,
        match="hold fer2013.csv, from https://www.kaggle.com/.* FER2013Valid/",
    ):
        load_ferplus(tables, "validation")
    write(tables / "fer2013.csv", fer2013_lines())
    (tables / "fer2013new.csv").unlink()
    with pytest.raises(
        ValueError, match="hold fer2013new.csv, from https://github.com/micro"
    ):
        load_ferplus(tables)


@pytest.mark.parametrize("count", ["-1", "11", "2.5", "many", ""])
@pytest.mark.parametrize("layout", ["tables", "folders"])
def test_wrong_votes(request, layout, count):
    data_dir = request.getfixturevalue(layout)
    path = data_dir / (
        "fer2013new.csv" if layout == "tables" else "FER2013Train/label.csv"
    )
    text = path.read_text().replace("0,9,1", f"0,{count},1")
    path.write_text(text)
    with pytest.raises(
        ValueError, match=f"from 0 to 10. Received: '{count}' for happiness in"
    ):
        load_ferplus(data_dir)


def test_wrong_emotion(tables):
    lines = fer2013_lines()
    lines[2] = "7" + lines[2][1:]
    write(tables / "fer2013.csv", lines)
    with pytest.raises(ValueError, match="emotion .*Received: '7' in row 1"):
        load_ferplus(tables)


@pytest.mark.parametrize(
    "content",
    [b"", b"<p>\nnot found", b"\xff\xfe\x00", b'a,b\n0,"1', b"Usage\n"],
)
@pytest.mark.parametrize("name", ["fer2013.csv", "fer2013new.csv"])
def test_damaged_tables(tables, name, content):
    (tables / name).write_bytes(content)
    with pytest.raises(ValueError, match=f"{name} could not be read") as error:
        load_ferplus(tables)
    assert "\n" not in str(error.value)


def test_wrong_columns_of_label_csv(folders):
    path = folders / "FER2013Train" / "label.csv"
    for line in ("a.png,1,2", "a.png,box" + ",1" * 11):
        path.write_text(line)
        with pytest.raises(ValueError, match="must have 12 columns"):
            load_ferplus(folders)


def test_no_image_is_left(tables):
    write_tables(tables, ROWS[:9])
    with pytest.raises(ValueError, match="`data_dir` must hold images"):
        load_ferplus(tables, "validation")


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"split": "valid"}, "`split` must be one of train.*'valid'"),
        ({"annotators": 0}, "`annotators` must be at least 1"),
        ({"annotators": 11}, "`annotators` must be .* at most 10.*11"),
        ({"annotators": 2.0}, "`annotators`.*2.0"),
        ({"seed": -1}, "`seed` must be at least 0"),
        ({"on_error": "ignore"}, "`on_error`.*'ignore'"),
    ],
)
def test_wrong_arguments(tables, arguments, message):
    with pytest.raises(ValueError, match=message):
        load_ferplus(tables, **arguments)
