"""Ranking remedies without clean labels."""

import dataclasses
import functools

import numpy as np
import pandas as pd
import pytest
from ranked_cases import COUNT, TASKS, make_data, predictions

import keras_noisyfer as kn
from keras_noisyfer.comparison import choice, choice_checks
from keras_noisyfer.comparison.methods import METHODS, method_data
from keras_noisyfer.datasets.image_sources import ImageArray


class Script:
    """A model whose predictions are as good as a script says of an epoch."""

    def __init__(self, rights, data, tell):
        self.rights, self.data, self.trained = rights, data, 0
        self.tell = tell

    def fit(self, dataset, epochs, initial_epoch=0, callbacks=(), verbose=0):
        if not self.trained:
            self.tell(self)
        for epoch in range(initial_epoch, epochs):
            self.trained += 1
            self.right = self.rights[min(epoch, len(self.rights) - 1)]
            for each in callbacks:
                each.set_model(self)
                each.on_epoch_end(epoch)

    def predict(self, batches, verbose):
        # The held-out images fit in one batch.
        data = self.data if len(batches) == 1 else make_data()
        return predictions(data, self.right)


@pytest.fixture
def scripted(monkeypatch):
    """Methods that peak, rise and stay, and those that were trained."""
    data, built = make_data(), []
    rights = {
        "vggnet": (0.7, 0.8, 0.6),
        "sce": (0.5, 0.75, 0.95),
        "elr": (0.4,),
    }

    def build(method, images, **options):
        (held_out,) = [
            part for part in data.split([320, 80]) if len(part) == 80
        ]
        if options.get("strength", 1) < 0:
            raise ValueError("`strength` must be at least 0")

        def tell(model):
            built.append((method, len(images), model, options))

        return Script(rights[method], held_out, tell), None, 1

    monkeypatch.setattr(choice, "prepare_training", build)
    return data, built


def run(data, tmp_path=None, **options):
    lines = []
    defaults = {
        "methods": ["vggnet", "sce", "elr"],
        "epochs": 3,
        "report": lines.append,
    }
    ranking = kn.compare(data, output_dir=tmp_path, **defaults | options)
    return ranking, lines


def test_each_method_counts_by_its_best_epoch(scripted, tmp_path):
    data, built = scripted
    ranking, lines = run(data, tmp_path, refit=True)
    assert ranking.table.index.to_list() == ["sce", "vggnet", "elr"]
    assert ranking.table["epoch"].to_list() == [3, 2, 1]
    assert [each[:2] for each in built] == [
        ("vggnet", 320),
        ("sce", 320),
        ("elr", 320),
        ("sce", 400),
    ]
    # On all images for as many epochs as were best.
    assert ranking.model is built[-1][2] and ranking.model.trained == 3
    assert lines[0].startswith("VGGNet, all noisy labels: 3 of 3 epochs, ")
    # The files say what the object says.
    assert (tmp_path / "ranking.txt").read_text() == f"{ranking}\n"
    assert (tmp_path / "ranking.png").stat().st_size > 1000


def test_a_long_comparison_says_so_at_its_beginning(
    scripted, monkeypatch, tmp_path
):
    data, _ = scripted
    _, lines = run(data, tmp_path, methods=["sce", "elr"])
    assert len(lines) == 2
    monkeypatch.setattr(choice, "LONG", 0)
    _, lines = run(data, tmp_path)
    # Not of those that were kept.
    told = [line for line in lines if "an epoch takes" in line]
    assert len(told) == 1 and told[0].startswith("VGGNet, all noisy labels: ")
    assert "all 3 ahead some 0.0 hours" in told[0] and "`width`" in told[0]
    _, lines = run(data, minutes=10)
    assert not any("an epoch takes" in line for line in lines)


def test_clean_labels_tell_and_choose_nothing(scripted, tmp_path):
    data, built = scripted
    for _ in range(2):
        ranking, _ = run(data, tmp_path, test=data.clean_labels())
        # Of the epoch that the noisy labels have chosen.
        clean = ranking.table["mood_clean"].to_list()
        assert clean == pytest.approx([0.95, 0.8, 0.4], abs=0.06)
        assert "mood, clean" in str(ranking)
    assert len(built) == 3
    without, _ = run(data)
    assert "mood_clean" not in without.table
    assert without.table.index.equals(ranking.table.index)


def test_goes_on_where_it_was(scripted, tmp_path):
    data, built = scripted
    first, _ = run(data, tmp_path, methods=["vggnet", "sce"])
    again, _ = run(data, tmp_path)
    assert [each[0] for each in built] == ["vggnet", "sce", "elr"]
    assert again.table.loc["sce", "mood"] == first.table.loc["sce", "mood"]
    with pytest.raises(ValueError, match="batch_size=32.*Received: .*=16"):
        run(data, tmp_path, batch_size=16)
    other = data.with_labels({**data.labels, "mood": data.labels["mood"][::-1]})
    with pytest.raises(ValueError, match="are of content="):
        run(other, tmp_path)
    dark = ImageArray(data.images.images // 2)
    other = kn.LabelledImages(dark, data.labels, TASKS, data.clean)
    with pytest.raises(ValueError, match="are of content="):
        run(other, tmp_path)
    with pytest.raises(ValueError, match="are of test=None; .*Received: test="):
        run(data, tmp_path, test=data.clean_labels())


def test_clean_labels_are_those_called_so(scripted):
    data, _ = scripted
    # With the noisy ones beside them, they are the ones that count.
    ranking, _ = run(data, test=data)
    expected, _ = run(data, test=data.clean_labels())
    columns = [each for each in ranking.table if each.endswith("_clean")]
    assert columns == ["mood_clean"] or len(columns) == 2
    pd.testing.assert_frame_equal(
        ranking.table[columns], expected.table[columns]
    )
    unknown = data.with_labels(data.labels)
    unknown.clean = {}
    with pytest.raises(ValueError, match="`test` must have clean labels"):
        run(data, test=unknown)


def test_fewer_epochs_need_another_folder(scripted, tmp_path):
    data, _ = scripted
    run(data, tmp_path)
    with pytest.raises(ValueError, match="of 3 epochs; .*Received: epochs=2"):
        run(data, tmp_path, epochs=2)


def test_clean_labels_are_of_the_same_classes():
    images = np.zeros((4, 32, 32, 3), "uint8")
    first, second, other = (
        kn.LabelledImages(images, {name: labels}, [task], {name: labels})
        for labels in [np.array([0, 1, 1, 0])]
        for name, classes in (("mood", "ab"), ("mood", "ba"), ("age", "ab"))
        for task in [kn.CategoricalTask(name, class_names=[*classes])]
    )
    with pytest.raises(ValueError, match="`test` must .* classes.*of `data`"):
        kn.compare(first, test=second)
    with pytest.raises(ValueError, match="`test` must be one of mood.*'age'"):
        kn.compare(first, test=other)


def test_an_edited_method_and_another_warm_up_are_trained_anew(
    scripted, tmp_path, monkeypatch
):
    data, built = scripted
    methods = ["vggnet", "sce"]
    run(data, tmp_path, methods=methods)

    def edited(encoder, data, options):
        return None

    known = METHODS["sce"]
    changed = dataclasses.replace(known, make_model=edited)
    monkeypatch.setitem(METHODS, "sce", changed)
    run(data, tmp_path, methods=methods)
    assert [each[0] for each in built] == ["vggnet", "sce", "sce"]
    # A quarter of the epochs.
    run(data, tmp_path, methods=methods, epochs=4)
    assert [each[0] for each in built[3:]] == methods


def test_another_augmentation_needs_another_folder(scripted, tmp_path):
    data, _ = scripted

    def scale(images, seed, by=1.0):
        return images * by

    def scale_by(by):
        return lambda images, seed: images * by

    kinds = (
        None,
        kn.face_affine,
        scale,
        functools.partial(scale, by=0.5),
        functools.partial(scale, by=0.0),
        lambda images, seed: images,
        lambda images, seed: -images,
        scale_by(2.0),
        scale_by(3.0),
    )
    for index, kind in enumerate(kinds):
        run(data, tmp_path / str(index), augmentation=kind)
        # The same one goes on.
        run(data, tmp_path / str(index), augmentation=kind)
        for other in kinds[:index]:
            with pytest.raises(ValueError, match="Received: augmentation="):
                run(data, tmp_path / str(index), augmentation=other)
    again = scale_by(2.0)
    run(data, tmp_path / "7", augmentation=again)

    class Layer:
        def __call__(self, images, seed):
            return images

    run(data, augmentation=Layer())
    with pytest.raises(ValueError, match="`augmentation` must be a function"):
        run(data, tmp_path / "8", augmentation=Layer())


def test_a_budget_halves_the_field(scripted):
    data, built = scripted
    ranking, _ = run(data, epochs=16, minutes=10)
    # Four epochs each; then the better two go on.
    trained = {method: model.trained for method, _, model, _ in built}
    assert trained == {"vggnet": 16, "sce": 16, "elr": 4}
    assert ranking.table.loc["elr", "epochs"] == 4
    ranking, _ = run(data, minutes=1e-9)
    assert ranking.table.index.to_list() == ["vggnet"]
    assert ranking.recommendation.startswith("Only VGGNet, all noisy labels")
    assert ranking.remarks[-1] == "Not tried, for time: sce, elr."


def test_options_are_chosen_by_the_same_rule(scripted):
    data, built = scripted
    search = {"elr": {"strength": [1.0, 3.0, 1.0]}}
    ranking, _ = run(data, methods=["sce", "elr"], search=search, width=0.5)
    assert set(ranking.table.index) == {
        "sce",
        "elr, strength 1",
        "elr, strength 3",
    }
    assert [each[3].get("strength") for each in built] == [None, 1.0, 3.0]
    assert all(each[3]["width"] == 0.5 for each in built)


def test_ranges_are_drawn_by_keras_tuner(scripted):
    data, built = scripted
    search = {"elr": {"strength": (0.1, 10.0), "gamma": ["auto", 1.0]}}
    options = {"methods": ["sce", "elr"], "search": search}
    ranking, _ = run(data, **options, max_trials=4)
    drawn = [each[3] for each in built if each[0] == "elr"]
    strengths = [each["strength"] for each in drawn]
    assert len(set(strengths)) == 4
    assert all(0.1 <= each <= 10 for each in strengths)
    assert {each["gamma"] for each in drawn} == {"auto", 1.0}
    # Once more the same, and with another seed others.
    again, _ = run(data, **options, max_trials=4)
    assert again.table.index.equals(ranking.table.index)
    other, _ = run(data, **options, max_trials=4, seed=1)
    assert set(other.table.index) != set(ranking.table.index)


def test_wrong_options_stop_before_the_first_is_trained(scripted):
    data, built = scripted
    for options in (
        {"strength": -1.0},
        {"search": {"elr": {"strength": [1.0, -1.0]}}},
    ):
        with pytest.raises(ValueError, match="`strength` must be at least 0"):
            run(data, methods=["sce", "elr"], **options)
    assert not built


def test_few_labels_cannot_tell_hard_images(scripted):
    data, _ = scripted
    single = data.with_labels(
        {**data.labels, "mood": data.labels["mood"][:, :1]},
        [TASKS[0].with_annotators(1), TASKS[1]],
    )
    ranking, _ = run(single)
    remark = "With fewer than three labels an image (mood) nothing tells"
    assert ranking.remarks[0].startswith(remark)
    assert "majority-vote" not in choice_checks.choose_methods(None, single)
    assert "majority-vote" in choice_checks.choose_methods(None, data)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"methods": ["sce"]}, "`methods` must be at least two"),
        ({"methods": ["sce", "scee"]}, "`method` must be one of .*: 'scee'"),
        ({"methods": ["sce", "air"]}, "epoch by epoch .*Received: 'air'"),
        ({"methods": ["sce", "vggnet-clean"]}, "Received: 'vggnet-clean'"),
        ({"search": {"gce": {}}}, "`search` may only have the keys"),
        ({"search": []}, "`search` must be a dict by method"),
        (
            {"search": {"elr": {"strength": []}}},
            "`strength` must be a number, a range",
        ),
        ({"search": {"elr": {"strength": 3.0}}}, "dict by option of lists or"),
        ({"search": {"elr": {"width_": [1]}}}, "The options .*: width_$"),
        (
            {"search": {"sce": {"strength": [1.0, 3.0]}}},
            "`strength` is an option of elr, joint-elr. .*: it for sce$",
        ),
        ({"joint_every": 4}, "`joint_every` is an option of proposed, .*: it"),
        ({"widht": 0.1}, "The options may be width, .*Received: widht$"),
        ({"methods": "sce"}, "`methods` must be a list of keys"),
        ({"batch_size": "32"}, "`batch_size` must be"),
        ({"seed": -1}, "`seed` must be"),
        ({"learning_rate": float("nan")}, "`learning_rate` must be"),
        ({"test": np.zeros(3)}, "`test` must be LabelledImages"),
        (
            {"data": "labels.csv"},
            "`data` must be LabelledImages. Received: str",
        ),
        ({"epochs": 0}, "`epochs` must be"),
        ({"held_out": 1.0}, "`held_out` must be"),
        ({"minutes": 0}, "`minutes` must be"),
        ({"report": "x"}, "`report` must be a function. Received: 'x'"),
        ({"held_out": 0.05}, "at least 50 held-out labels .*: .* of mood"),
    ],
)
def test_wrong_arguments(scripted, options, message):
    options = {"data": scripted[0]} | options
    with pytest.raises(ValueError, match=message) as error:
        run(**options)
    assert "\n" not in str(error.value)


@pytest.mark.slow
@pytest.mark.smoke
def test_trains_and_tells(tmp_path):
    data = make_data()
    ranking = kn.compare(
        data,
        methods=["vggnet", "joint-elr"],
        epochs=2,
        width=1 / 16,
        dropout=0.0,
        batch_normalization=True,
        output_dir=tmp_path,
        refit=True,
        report=lambda line: None,
    )
    assert set(ranking.table.index) == {"vggnet", "joint-elr"}
    assert ranking.table[["mood", "pain"]].notna().all(axis=None)
    predicted = ranking.model.predict(data.batches(batch_size=100), verbose=0)
    assert predicted["mood"].shape == (COUNT, 3)


def test_hard_images_are_warned_of(scripted, monkeypatch):
    data, _ = scripted
    monkeypatch.setattr(choice, "share_mistakes", lambda *arguments: True)
    remark = run(data)[0].remarks[0]
    assert remark.startswith("The annotators of mood go wrong on the same")
    monkeypatch.setattr(choice, "share_mistakes", lambda *arguments: False)
    (remark,) = run(data)[0].remarks
    assert remark.startswith("Where all annotators of mood take an image for")


def test_labels_of_one_annotator_need_no_axis(scripted):
    data, _ = scripted
    tasks = [task.with_annotators(1) for task in TASKS]
    flat = {
        "mood": data.labels["mood"][:, 0],
        "pain": data.labels["pain"][:, 0],
    }
    given = kn.LabelledImages(data.images, flat, tasks, data.clean)
    found = run(given)[0].table
    labels = {name: each[:, :1] for name, each in data.labels.items()}
    expected = run(data.with_labels(labels, tasks))[0].table
    assert found["mood"].to_list() == expected["mood"].to_list()
    assert found["pain"].to_list() == expected["pain"].to_list()
    vote = method_data("majority-vote", given)
    assert vote.labels["pain"].shape == (COUNT, 1, 2)
