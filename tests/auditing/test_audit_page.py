import csv
import html.parser
import json
import shutil

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import keras_noisyfer as kn
from keras_noisyfer.auditing.audit import audit
from keras_noisyfer.auditing.page import write_audit
from keras_noisyfer.datasets.image_sources import ImageArray, ImageFiles
from keras_noisyfer.datasets.labelled_images import LabelledImages

# What strangers call their files, classes and annotators.
NAMES = [
    "<script>document.title='owned'</script>.png",
    '"><img src=x onerror="document.title=\'owned\'">.png',
    "{{ 7 * 7 }}{% raw %}.png",
    "comma, 'quote'.png",
    "=1+1.png",
    "ünï\nline.png",
]
CLASSES = ("</script><b>calm", "happy & glad")
ANNOTATOR = "<i>ann</i>"


class Collector(html.parser.HTMLParser):
    """Tags, texts and attributes of a page."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.texts, self.attributes = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += attributes

    def handle_data(self, data):
        self.texts.append(data)


def make_data():
    generator = np.random.default_rng(0)
    count = len(NAMES)
    labels = generator.integers(0, 2, (count, 2)).astype("int32")
    data = LabelledImages(
        ImageArray(
            generator.integers(0, 256, (count, 8, 8, 3), "uint8"), NAMES
        ),
        {
            "mood": labels,
            "affect": generator.uniform(-1, 1, (count, 1)).astype("float32"),
        },
        [
            kn.CategoricalTask("mood", class_names=CLASSES, annotators=2),
            kn.ContinuousTask("affect", ("valence",)),
        ],
        annotators={"mood": [ANNOTATOR, "bob"]},
    )
    predictions = {
        "mood": np.eye(2)[labels[:, 0]] * 0.8 + 0.1,
        "affect": np.zeros((count, 1)),
    }
    return data, audit(predictions, data)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("audit")
    data, found = make_data()
    page = write_audit(found, data, folder / "new" / "folder")
    return data, found, page


def test_names_are_text_and_nothing_else(written):
    data, found, page = written
    text = page.read_text("utf-8")
    collected = Collector(text)
    assert collected.tags.count("script") == 1
    assert collected.tags.count("img") == len(NAMES)
    assert "b" not in collected.tags and "i" not in collected.tags
    assert not [n for n, _ in collected.attributes if n.startswith("on")]
    texts = set(collected.texts)
    assert set(NAMES) <= texts
    assert set(CLASSES) <= texts
    assert any(ANNOTATOR in each for each in texts)


def test_swapped_arguments_are_told(written, tmp_path):
    data, found, _ = written
    for given, message in (
        ((data, found), "`found` must be a LabelAudit.*: LabelledImages"),
        (("model", data), "`found` must be a LabelAudit.*Received: str"),
        ((found, data.names), "`data` must be .*Received: list"),
    ):
        with pytest.raises(ValueError, match=message):
            write_audit(*given, tmp_path / "page")
    assert not (tmp_path / "page").exists()


def test_page_needs_no_other_file(written):
    collected = Collector(written[2].read_text("utf-8"))
    sources = [v for n, v in collected.attributes if n in ("src", "href")]
    assert len(sources) == len(NAMES)
    assert all(s.startswith("data:image/jpeg;base64,") for s in sources)
    policy = dict(collected.attributes)["content"]
    for name, value in collected.attributes:
        if name == "content" and "default-src" in value:
            policy = value
    assert policy.startswith("default-src 'none'; img-src data:;")
    assert "script-src 'sha256-" in policy


def test_tables_join_the_rows_they_came_from(written):
    data, found, page = written
    labels = pd.read_csv(page.with_name("labels.csv"), dtype={"given": str})
    assert set(labels["image"]) == set(NAMES)
    mine = pd.DataFrame({"image": NAMES, "row": range(len(NAMES))})
    assert len(labels.merge(mine, on="image")) == 3 * len(NAMES)
    np.testing.assert_allclose(labels["score"], found.labels["score"])
    with open(page.with_name("images.csv"), encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["image"] for row in rows] == NAMES
    assert {row["mood"] for row in rows} <= set(CLASSES)
    annotators = json.loads(page.with_name("annotators.json").read_text())
    assert annotators["mood"]["streams"][0]["name"] == ANNOTATOR
    leftover = [p for p in page.parent.iterdir() if "tmp" in p.name]
    assert not leftover


def test_most_suspect_first_and_no_more_than_asked(tmp_path):
    data, found = make_data()
    page = write_audit(found, data, tmp_path, thumbnails=2)
    names = [
        value
        for name, value in Collector(page.read_text("utf-8")).attributes
        if name == "data-image"
    ]
    expected = found.images.nsmallest(2, "score")["image"]
    assert names == list(expected)
    empty = write_audit(found, data, tmp_path, thumbnails=0)
    assert "data:image" not in empty.read_text("utf-8")


@pytest.mark.parametrize("method", ["posterior", "cleanlab"])
@pytest.mark.parametrize("labelled", [6, 5, 1, 0])
def test_the_page_shows_the_images_that_have_a_label(
    method, labelled, tmp_path
):
    data, _ = make_data()
    labels = {name: each.copy() for name, each in data.labels.items()}
    labels["mood"][labelled:] = -1
    labels["affect"][labelled:] = np.nan
    predictions = {"mood": np.full((6, 2), 0.5), "affect": np.zeros((6, 1))}
    data = data.with_labels(labels)
    found = audit(predictions, data, method=method)
    text = write_audit(found, data, tmp_path).read_text("utf-8")
    shown = [
        value
        for name, value in Collector(text).attributes
        if name == "data-image"
    ]
    assert sorted(shown) == sorted(NAMES[:labelled])
    told = f"6 images, {6 - labelled} of them without a label; "
    assert (told in text) == (labelled < 6)
    assert f"{3 * labelled} labels." in text
    assert len(pd.read_csv(tmp_path / "images.csv")) == 6
    assert len(found.suspects()) == 3 * labelled
    assert "nan" not in text.split("<script>")[0].replace(NAMES[0], "")


def test_images_of_files_are_shown(tmp_path):
    generator = np.random.default_rng(1)
    colours = generator.integers(0, 256, (4, 3))
    rows = ["image,mood"]
    for index, colour in enumerate(colours):
        Image.new("RGB", (20, 30), tuple(map(int, colour))).save(
            tmp_path / f"{index}.png"
        )
        rows.append(f"{index}.png,{index % 2}")
    (tmp_path / "labels.csv").write_text("\n".join(rows))
    tasks = [kn.CategoricalTask("mood", 2)]
    data = kn.from_csv(
        tmp_path / "labels.csv",
        tmp_path,
        tasks,
        {"image": "image", "mood": "mood"},
    )
    found = audit({"mood": np.full((4, 2), 0.5)}, data)
    page = write_audit(found, data, tmp_path / "out")
    assert page.read_text("utf-8").count("data:image/jpeg") == 4


def test_the_data_must_be_what_was_audited(tmp_path):
    data, found = make_data()
    with pytest.raises(ValueError, match="`data`.* 3 for 6"):
        write_audit(found, data.take(3), tmp_path)
    with pytest.raises(ValueError, match="`thumbnails`.*-1"):
        write_audit(found, data, tmp_path, thumbnails=-1)
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(ValueError, match="`output_dir`.*file"):
        write_audit(found, data, file / "folder")


@pytest.mark.browser
def test_filters_in_a_browser(written):
    from playwright.sync_api import sync_playwright

    data, found, page = written
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        tab = browser.new_page()
        problems = []
        tab.on("console", lambda each: problems.append(each.text))
        tab.on("pageerror", lambda each: problems.append(str(each)))
        tab.goto(page.as_uri())
        assert tab.title() == "Label audit"
        shown = tab.locator("#shown")
        assert shown.inner_text() == "6 images"
        tab.select_option("select[name=annotator]", ANNOTATOR)
        tab.select_option("select[name=given]", CLASSES[1])
        expected = int((data.labels["mood"][:, 0] == 1).sum())
        assert shown.inner_text() == f"{expected} images"
        tab.select_option("select[name=annotator]", "")
        tab.select_option("select[name=given]", "")
        tab.fill("input[name=image]", "QUOTE")
        assert shown.inner_text() == "1 images"
        tab.fill("input[name=image]", "")
        limit = float(np.round(found.images["score"].median(), 2))
        tab.fill("input[name=score]", str(limit))
        expected = int((found.images["score"] <= limit).sum())
        assert shown.inner_text() == f"{expected} images"
        assert tab.title() == "Label audit"
        browser.close()
    assert not problems


def test_an_image_that_is_gone_is_named(tmp_path):
    data, _ = make_data()
    names = [f"an image {i}.png" for i in range(len(data))]
    for name in names:
        Image.new("RGB", (8, 8)).save(tmp_path / name)
    data = LabelledImages(ImageFiles(tmp_path, names), data.labels, data.tasks)
    predictions = {"mood": np.full((6, 2), 0.5), "affect": np.zeros((6, 1))}
    found = audit(predictions, data)
    (tmp_path / names[2]).unlink()
    with pytest.raises(FileNotFoundError, match="no file /.*an image 2.png$"):
        write_audit(found, data, tmp_path / "audit")
