import functools
import re
import shutil

import numpy as np
import pytest
from fixtures_faces import (
    assert_images_belong_to_names,
    class_ids,
    raf_machine,
    write_image,
    write_lines,
    write_raf,
)

from keras_noisyfer.datasets.faces.raf import load_raf

load_raf_base = functools.partial(load_raf, base=True)
AFFECT_LIST = "list_va_AffectnetModel.txt"


@pytest.fixture
def raf(tmp_path):
    """The folder `rafd` that holds `basic`."""
    write_raf(tmp_path / "rafd" / "basic")
    return tmp_path / "rafd"


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "cache"


def break_image(name, what):
    def change(root):
        path = root / "Image" / "original" / "imgs" / name
        if what == "missing":
            path.unlink()
        elif what == "empty":
            path.write_bytes(b"")
        elif what == "truncated":
            path.write_bytes(path.read_bytes()[:-200])
        else:
            write_image(path.with_name("train_00099.jpg"), 7)

    return change


def break_labels(before, after, path="EmoLabel/list_patition_label.txt"):
    def change(root):
        lines = (root / path).read_text().splitlines()
        lines = [re.sub(before, after, line) for line in lines]
        write_lines(root / path, [line for line in lines if line])

    return change


def break_eyes(name, text):
    def change(root):
        path = root / "Annotation" / "manual" / f"{name}_manu_attri.txt"
        path.unlink() if text is None else path.write_text(text)

    return change


# What is done to the data, and what is said of it.
BROKEN = [
    (break_image("train_00001.jpg", "missing"), "train_00001.jpg: missing"),
    (break_image("train_00002.jpg", "empty"), "00002.jpg: empty file"),
    (break_image("train_00003.jpg", "truncated"), "00003.jpg: .*damaged image"),
    (
        break_image("train_00001.jpg", "unlabelled"),
        "train_00099.jpg: image without label",
    ),
    (
        break_labels("(train_00004.jpg) 4", r"\1 4\n\1 5"),
        "train_00004.jpg: duplicate name .once more in list_.*, line 5",
    ),
    (
        break_labels("(train_00005.jpg) 5", r"\1 8"),
        "list_patition_label.txt, line [56]: unknown expression id .*05.jpg 8",
    ),
    (
        break_labels("(train_00006.jpg) 6", r"\1"),
        "list_patition_label.txt, line [67]: malformed label .train_00006",
    ),
    (
        break_labels("(train_00007.jpg) 7", r"valid_7.jpg 7"),
        "train_00007.jpg: image without label",
    ),
    (break_eyes("train_00008", None), "train_00008.jpg: no eye positions"),
    (
        break_eyes("train_00009", "20.0 x"),
        "00009.jpg: malformed eye positions .*manu_attri.txt must begin",
    ),
    (
        break_labels("^train_00010.*", "", "noisy_labels/" + AFFECT_LIST),
        "00010.jpg: no machine label .*list_va.* labels of 12 of 13 images",
    ),
    (
        break_labels(
            "(train_00011.jpg) .*", r"\1 0.5", "noisy_labels/" + AFFECT_LIST
        ),
        "list_va_AffectnetModel.txt, line .*: malformed label",
    ),
    (
        break_labels(
            "(train_00012.jpg) .*", r"\1 nan 1", "noisy_labels/" + AFFECT_LIST
        ),
        "list_va_AffectnetModel.txt, line .*: malformed label",
    ),
]


@pytest.mark.parametrize("change, message", BROKEN)
def test_a_bad_entry_raises(tmp_path, cache, change, message):
    write_raf(tmp_path / "basic", 13, 1)
    change(tmp_path / "basic")
    with pytest.raises(ValueError, match=message) as error:
        load_raf_base(tmp_path, cache_dir=cache)
    assert "\n" not in str(error.value)


def test_bad_entries_are_counted(tmp_path, cache):
    labels = write_raf(tmp_path / "basic", 13, 1)
    wrong, affect = raf_machine(labels)
    for change, _ in BROKEN:
        change(tmp_path / "basic")
    counts = {
        "missing image": 1,
        "empty file": 1,
        "truncated or damaged image": 1,
        # Of which one lost its label: to another name, not to a bad line.
        "image without label": 2,
        "duplicate name": 1,
        "unknown expression id": 1,
        "neither a train nor a test image": 1,
        "no eye positions": 1,
        "malformed eye positions": 1,
        # Two of the list of affect, one of people's expressions.
        "malformed label": 3,
        # Not those of the malformed ones.
        "no machine label": 1,
    }
    for _ in range(2):
        # As prepared, and as kept.
        data = load_raf_base(tmp_path, cache_dir=cache, on_error="skip")
        assert data.report.counts == counts
        assert sorted(data.names) == ["train_00004.jpg", "train_00013.jpg"]
        assert_images_belong_to_names(data)
        given = data.labels["expression"][:, 0].tolist()
        assert given == class_ids(data.names, wrong)
        assert data.labels["affect"][:, 0].tolist() == [
            np.clip(affect[n], -1, 1).tolist() for n in data.names
        ]
        # The first of two labels counts.
        assert data.clean["expression"].tolist() == class_ids(
            data.names, labels
        )


@pytest.mark.parametrize("on_error", ["raise", "skip"])
@pytest.mark.parametrize("people", [True, False])
def test_a_list_that_counts_from_0(raf, cache, on_error, people):
    folder = "EmoLabel/list_patition_label" if people else "noisy_labels/"
    path = folder + ".txt" * people
    path += "list_label_AffectnetModel.txt" * (not people)
    list_path = raf / "basic" / path
    lines = [line.split() for line in list_path.read_text().splitlines()]
    write_lines(list_path, [f"{name} {int(i) - 1}" for name, i in lines])
    with pytest.raises(ValueError, match="ids from 0 to 6 in .*list_") as error:
        load_raf_base(raf, cache_dir=cache, on_error=on_error)
    assert "skip" not in str(error.value)


def test_a_list_of_one_kind(raf, cache):
    break_labels("^test_.*", "")(raf / "basic")
    with pytest.raises(ValueError, match="name train.*: 8 labels of one kind"):
        load_raf(raf, cache_dir=cache, on_error="skip")


def test_kept_rejections_still_raise(raf, cache):
    break_image("train_00003.jpg", "missing")(raf / "basic")
    load_raf(raf, cache_dir=cache, on_error="skip")
    with pytest.raises(ValueError, match="train_00003.jpg: missing image"):
        load_raf(raf, cache_dir=cache)


def test_a_truncated_list_of_machine_labels(raf, cache):
    path = raf / "basic" / "noisy_labels" / AFFECT_LIST
    text = path.read_text()
    path.write_text(text[: text.index("train_00005.jpg") + 20])
    with pytest.raises(ValueError, match="list_va.*line .*malformed label"):
        load_raf_base(raf, cache_dir=cache)
    # Cut between two lines, it is merely short.
    path.write_text(text[: text.index("train_00005.jpg")])
    with pytest.raises(
        ValueError, match="train_.*list_va.* has labels of 4 of 8 images"
    ):
        load_raf_base(raf, cache_dir=cache)


@pytest.mark.parametrize(
    "path, message",
    [
        (
            "EmoLabel",
            r"lacks its label list. Looked in .*rafd for EmoLabel/list_patit"
            r"ion_label.txt, basic/.*http://www.whdeng.cn/RAF/model1.html",
        ),
        ("Image", "lacks the folder of images.*Image/original.*whdeng"),
        ("Image/original/imgs", "lacks its images.*test_0001.jpg.*whdeng"),
        ("Annotation", "eye positions.*Annotation/manual.*whdeng"),
        (
            "noisy_labels",
            "machine labels list_label_Aff.*sanweiliti.*machine_labels_dir",
        ),
    ],
)
def test_missing_pieces(raf, cache, path, message):
    shutil.rmtree(raf / "basic" / path)
    with pytest.raises(ValueError, match=message) as error:
        load_raf_base(raf, cache_dir=cache)
    assert "\n" not in str(error.value)


def test_no_usable_image(raf, cache):
    for path in (raf / "basic/Image/aligned/imgs").glob("test*"):
        path.write_bytes(b"")
    with pytest.raises(ValueError, match="split test of RAF-DB must have"):
        load_raf(
            raf, "test", alignment="given", cache_dir=cache, on_error="skip"
        )


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"split": "validation"}, "`split` .*train, test. Received: 'valid"),
        ({"image_size": 0}, "`image_size` must be at least 1"),
        ({"image_size": 10**6}, "`image_size` must be .*at most 1024"),
        ({"data_dir": 3}, "`data_dir` .*must be a folder. Received: 3. Ask"),
        ({"cache_dir": 3}, "`cache_dir` must be a folder. Received: 3"),
        ({"alignment": "nose"}, "`alignment` .* Received: 'nose'"),
        ({"on_error": "stop"}, "`on_error` .* Received: 'stop'"),
        ({"data_dir": "nowhere"}, "`data_dir` .*nowhere.*whdeng"),
        (
            {"machine": "MyModel"},
            "list_label_MyModel.txt. Looked.*`with_machine_labels` reads",
        ),
        ({"machine_labels_dir": "nowhere"}, "`machine_labels_dir` .*nowhere"),
    ],
)
def test_bad_arguments(raf, cache, arguments, message):
    arguments = {"data_dir": raf, "cache_dir": cache, **arguments}
    with pytest.raises(ValueError, match=message) as error:
        load_raf_base(**arguments)
    assert "\n" not in str(error.value)
    assert "sanweiliti" not in str(error.value)


@pytest.mark.parametrize("place", ["file", "file/deeper"])
def test_a_cache_that_cannot_be_written(raf, tmp_path, place):
    (tmp_path / "file").touch()
    with pytest.raises(
        ValueError, match="`cache_dir` must .* written"
    ) as error:
        load_raf(raf, cache_dir=tmp_path / place)
    assert "\n" not in str(error.value)


def test_machine_labels_of_no_image_are_counted(raf, cache):
    folder = raf / "basic" / "noisy_labels"
    with open(folder / AFFECT_LIST, "a") as file:
        file.write("train_00098.jpg 0 0\ntrain_00099.jpg 0 0\n")
    data = load_raf_base(raf, cache_dir=cache)
    assert len(data) == 8
    note = f"machine labels of no image, {AFFECT_LIST}"
    assert data.report.notes[note] == 2
    assert f"rows whose affect was clipped, {AFFECT_LIST}: 3" in str(
        data.report
    )
