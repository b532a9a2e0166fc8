import numpy as np
import pytest
from simulated_labels import simulate, uniform_confusion

import keras_noisyfer as kn
from keras_noisyfer import noise
from keras_noisyfer.auditing.audit import audit
from keras_noisyfer.auditing.measures import measure_audit
from keras_noisyfer.datasets.image_sources import ImageArray
from keras_noisyfer.datasets.labelled_images import LabelledImages

CLASSES = ("calm", "happy", "sad", "angry")
CENTRES = np.array([[0.0, 0.0], [0.7, 0.3], [-0.7, -0.3], [-0.5, 0.7]])
COUNT = 400


def make_data(seed=0, annotators=None):
    confusion = [uniform_confusion(4, rate) for rate in (0.2, 0.3, 0.4)]
    simulated = simulate(COUNT, confusion, strength=1.0, seed=seed)
    generator = np.random.default_rng(seed)
    affect = np.clip(
        CENTRES[simulated.truth] + generator.normal(0, 0.1, (COUNT, 2)), -1, 1
    )
    noisy = np.clip(affect + generator.normal(0, 0.2, (COUNT, 2)), -1, 1)
    guessed = affect + generator.normal(0, 0.3, (COUNT, 2))
    tasks = [
        kn.CategoricalTask("mood", class_names=CLASSES, annotators=3),
        kn.ContinuousTask("affect", ("valence", "arousal")),
    ]
    images = generator.integers(0, 256, (COUNT, 8, 8, 3), "uint8")
    data = LabelledImages(
        ImageArray(images, [f"{i:03}.png" for i in range(COUNT)]),
        {"mood": simulated.labels, "affect": noisy},
        tasks,
        clean={"mood": simulated.truth, "affect": affect.astype("float32")},
        annotators=annotators,
    )
    return data, {"mood": simulated.predictions, "affect": guessed}


@pytest.fixture(scope="module")
def data_and_predictions():
    return make_data(annotators={"mood": ["ann", "bob", "cy"]})


@pytest.fixture(scope="module")
def found(data_and_predictions):
    data, predictions = data_and_predictions
    return audit(predictions, data)


def test_a_row_for_each_label(found, data_and_predictions):
    data, predictions = data_and_predictions
    labels = found.labels
    assert len(labels) == 4 * COUNT
    first = labels[labels["image"] == "000.png"]
    assert list(first["task"]) == ["mood"] * 3 + ["affect"]
    assert list(first["annotator"]) == ["ann", "bob", "cy", "0"]
    given = [CLASSES[each] for each in data.labels["mood"][0]]
    assert list(first["given"][:3]) == given
    valence, arousal = data.labels["affect"][0]
    assert first["given"].iloc[3] == f"{valence:.2f} {arousal:.2f}"
    predicted = CLASSES[predictions["mood"][0].argmax()]
    assert list(first["predicted"][:3]) == [predicted] * 3
    assert labels["score"].between(0, 1).all()


def test_a_row_for_each_image(found, data_and_predictions):
    data, _ = data_and_predictions
    images = found.images
    assert list(images["image"]) == data.names
    lowest = found.labels.groupby("image")["score"].min()
    np.testing.assert_allclose(images["score"], lowest[data.names])
    right = images["mood"] == [CLASSES[c] for c in data.clean["mood"]]
    assert right.mean() > 0.9
    # Confident where it is right.
    confidence = images["mood_confidence"]
    assert confidence[right].mean() == pytest.approx(0.95, abs=0.05)
    assert confidence[~right].mean() < 0.85
    error = images["affect_valence"] - data.clean["affect"][:, 0]
    given = data.labels["affect"][:, 0] - data.clean["affect"][:, 0]
    assert np.square(error).mean() < 0.8 * np.square(given).mean()


@pytest.mark.parametrize("count", ["5", 0, 2.5])
def test_suspects_are_counted(found, count):
    with pytest.raises(ValueError, match="`count` must be at least 1"):
        found.suspects(count)


def test_suspects_are_wrong(found, data_and_predictions):
    data, _ = data_and_predictions
    suspects = found.suspects(50)
    assert list(suspects["score"]) == sorted(found.labels["score"])[:50]
    moods = suspects[suspects["task"] == "mood"]
    row = [data.names.index(name) for name in moods["image"]]
    true = [CLASSES[each] for each in data.clean["mood"][row]]
    assert (moods["given"] != true).mean() > 0.95


def test_a_happy_face_with_negative_valence(data_and_predictions):
    data, predictions = data_and_predictions
    happy = np.flatnonzero(
        (data.clean["mood"] == 1) & (data.labels["mood"] == 1).all(axis=1)
    )[0]
    name = data.names[happy]

    def scores(valence):
        labels = {**data.labels, "affect": data.labels["affect"].copy()}
        labels["affect"][happy] = valence, 0.3
        found = audit(predictions, data.with_labels(labels))
        rows = found.labels[found.labels["image"] == name]
        return rows["score"].to_numpy()

    plausible, strange = scores(0.7), scores(-0.8)
    # The value is suspect, and the classes are a little.
    assert plausible[3] > 0.2
    assert strange[3] < 0.01
    assert (strange[:3] < plausible[:3]).all()


def test_annotators(found, data_and_predictions):
    data, _ = data_and_predictions
    report = found.annotators["mood"]
    assert report["alpha"] == pytest.approx(0.35, abs=0.1)
    names = [each["name"] for each in report["streams"]]
    assert names == ["ann", "bob", "cy"]
    wrong = (data.labels["mood"] != data.clean["mood"][:, None]).mean(axis=0)
    rates = [each["noise_rate"] for each in report["streams"]]
    np.testing.assert_allclose(rates, wrong, atol=0.03)
    said = np.bincount(data.labels["mood"][:, 0], minlength=4) / COUNT
    consensus = found.images["mood"].map(CLASSES.index)
    taken = np.bincount(consensus, minlength=4) / COUNT
    bias = report["streams"][0]["bias"]
    np.testing.assert_allclose(bias, said - taken, atol=1e-6)
    (affect,) = found.annotators["affect"]["streams"]
    assert np.isnan(affect["bias"]).all()


def test_missing_labels(data_and_predictions):
    data, predictions = data_and_predictions
    labels = {name: each.copy() for name, each in data.labels.items()}
    labels["mood"][0] = -1
    labels["affect"][0] = np.nan
    labels["mood"][1, 2] = -1
    found = audit(predictions, data.with_labels(labels))
    counts = found.labels["image"].value_counts()
    assert "000.png" not in counts.index
    assert counts["001.png"] == 3
    assert np.isnan(found.images["score"][0])
    assert found.images["mood"][0] in CLASSES


def test_an_annotator_without_labels_has_no_measures(data_and_predictions):
    data, predictions = data_and_predictions
    mood = data.labels["mood"].copy()
    mood[:, 1] = -1
    only = data.with_labels({"mood": mood})
    for method in ("posterior", "cleanlab"):
        found = audit({"mood": predictions["mood"]}, only, method=method)
        first, silent, _ = found.annotators["mood"]["streams"]
        assert np.isfinite(first["bias"]).all()
        assert silent["missing"] == 1 and np.isnan(silent["noise_rate"])
        assert np.isnan(silent["bias"]).all()
        assert np.isnan(silent["confusion"]).all()


def test_cleanlab_scores_each_task_alone(data_and_predictions):
    data, predictions = data_and_predictions
    found = audit(predictions, data, method="cleanlab")
    assert found.labels["score"].between(0, 1).all()
    alone = data.with_labels({"mood": data.labels["mood"]})
    same = audit({"mood": predictions["mood"]}, alone, method="cleanlab")
    moods = found.labels[found.labels["task"] == "mood"]
    np.testing.assert_array_equal(
        moods["score"].to_numpy(), same.labels["score"].to_numpy()
    )


def test_cleanlab_with_gaps(data_and_predictions):
    data, predictions = data_and_predictions
    labels = {name: each.copy() for name, each in data.labels.items()}
    labels["mood"][:5] = -1
    labels["mood"][:, 1] = -1
    labels["affect"][7, 0] = np.nan
    found = audit(predictions, data.with_labels(labels), method="cleanlab")
    moods = found.labels[found.labels["task"] == "mood"]
    assert len(moods) == 2 * (COUNT - 5)
    only = data.with_labels({"mood": labels["mood"][:, :1]})
    found = audit({"mood": predictions["mood"]}, only, method="cleanlab")
    assert len(found.labels) == COUNT - 5


def test_measures_by_hand(data_and_predictions, found):
    data, _ = data_and_predictions
    measures = measure_audit(found, data)["mood"]
    scores = found.labels[found.labels["task"] == "mood"]["score"].to_numpy()
    wrong = (data.labels["mood"] != data.clean["mood"][:, None]).ravel()
    bad, good = scores[wrong], scores[~wrong]
    pairs = (bad[:, None] < good) + 0.5 * (bad[:, None] == good)
    assert measures["auroc"] == pytest.approx(pairs.mean())
    top = wrong[np.argsort(scores, kind="stable")[:100]]
    assert measures["precision_at_100"] == top.mean()
    assert measures["consensus"] == np.mean(
        found.images["mood"] == [CLASSES[c] for c in data.clean["mood"]]
    )
    assert measures["noise_rate"] == pytest.approx(
        wrong.reshape(-1, 3).mean(axis=0).tolist()
    )
    affect = measure_audit(found, data)["affect"]
    assert affect["rank_correlation"] < -0.3
    assert affect["consensus_ccc"][0] > affect["mean_vote_ccc"][0]


def test_measures_of_unknown_truth(data_and_predictions, found):
    data, predictions = data_and_predictions
    clean = {"mood": data.clean["mood"].copy()}
    clean["mood"][::2] = -1
    half = LabelledImages(data.images, data.labels, data.tasks, clean=clean)
    measures = measure_audit(audit(predictions, half), half)
    assert list(measures) == ["mood"]
    right = found.images["mood"] == [CLASSES[c] for c in data.clean["mood"]]
    assert measures["mood"]["consensus"] == right[1::2].mean()


@pytest.mark.filterwarnings("error::RuntimeWarning", "error::UserWarning")
def test_measures_are_of_images_that_have_a_label(data_and_predictions):
    data, predictions = data_and_predictions
    labels = {name: each.copy() for name, each in data.labels.items()}
    for count in (COUNT // 2, 0):
        labels["mood"][count:] = -1
        labels["mood"][:, 2] = -1
        labels["affect"][count:] = np.nan
        some = data.with_labels(labels)
        found = audit(predictions, some)
        measures = measure_audit(found, some)
        mood, affect = measures["mood"], measures["affect"]
        if count:
            vote = noise.majority_vote(labels["mood"][:count], 4, seed=0)
            right = vote == data.clean["mood"][:count]
            assert mood["majority_vote"] == right.mean()
            assert mood["consensus"] > mood["majority_vote"] > 0.6
            # Of the two annotators who have labels.
            assert mood["noise_rate_error"] < 0.1
            own = found.images[["affect_valence", "affect_arousal"]].to_numpy()
            error = (own - data.clean["affect"])[:count]
            np.testing.assert_allclose(
                affect["consensus_rmse"], np.sqrt((error**2).mean(axis=0)), 1e-5
            )
        else:
            del mood["noise_rate"], mood["estimated_noise_rate"]
            assert np.isnan(list(mood.values())).all()
            assert np.isnan(affect["consensus_ccc"]).all()


# === Models ===


class OfFold:
    """A model whose predictions tell which fold made them."""

    def __init__(self, number):
        self.number = number

    def predict(self, images, verbose):
        count = sum(len(each) for each in images)
        return {
            "mood": np.eye(4)[np.zeros(count, int)],
            "affect": np.full((count, 2), self.number / 10),
        }


def test_folds_predict_images_that_were_not_trained_on():
    data, _ = make_data()
    trained = []

    def train(part):
        trained.append(set(part.names))
        return OfFold(len(trained))

    found = audit(train, data, folds=4)
    rows = found.labels[found.labels["task"] == "affect"]
    made_by = dict(zip(rows["image"], rows["predicted"], strict=True))
    for number, names in enumerate(trained, start=1):
        held_out = set(data.names) - names
        assert len(held_out) == 100
        predicted = {made_by[name] for name in held_out}
        assert predicted == {f"{number / 10:.2f} {number / 10:.2f}"}


def small_model(data):
    encoder = kn.Encoder(data.tasks, (32, 32, 3), width=0.0625)
    model = kn.MultiTaskModel(encoder)
    model.compile()
    return model


def test_a_model_predicts_in_the_order_of_the_data():
    data, _ = make_data()
    model = small_model(data)
    found = audit(model, data)
    images = data.batches((32, 32, 3), 7)
    expected = model.predict(images, verbose=0)["mood"].argmax(axis=1)
    first = found.labels[found.labels["task"] == "mood"].iloc[::3]
    np.testing.assert_array_equal(
        first["predicted"], [CLASSES[each] for each in expected]
    )


# === Wrong arguments ===


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"data": [1]}, "`data` must be LabelledImages.* Received: list"),
        ({"method": "magic"}, "`method` must be one of posterior, cleanlab"),
        ({"model": 3}, "`model` must be a Keras model, .* Received: int"),
        ({"model": {}}, "`model` must be a dict with the keys"),
        ({"folds": 3}, "`model` must be a function .*`folds`"),
        ({"model": len, "folds": 1}, "`folds` must be at least 2"),
        ({"model": len, "folds": 300}, "`folds` must be .* at most 200"),
        (
            {"model": len, "folds": 2, "data": make_data()[0].take(3)},
            "4 images",
        ),
        ({"model": lambda data: None, "folds": 2}, "returns the model"),
        ({"seed": -1}, "`seed` must be at least 0 .* Received: -1"),
    ],
)
def test_wrong_arguments(data_and_predictions, arguments, message):
    data, predictions = data_and_predictions
    arguments = {"model": predictions, "data": data, **arguments}
    with pytest.raises(ValueError, match=message) as error:
        audit(**arguments)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda p: p["mood"][:10], r"shape \(400, 4\). Received: shape=\(10"),
        (lambda p: p["mood"] * 2, "probabilities that add up to 1"),
        (lambda p: np.log(p["mood"]), "probabilities that add up to 1"),
        (lambda p: p["mood"] * np.nan, "must be finite. Received: 1600"),
    ],
)
def test_wrong_predictions(data_and_predictions, change, message):
    data, predictions = data_and_predictions
    wrong = {**predictions, "mood": change(predictions)}
    with pytest.raises(ValueError, match=f"'mood'.*{message}"):
        audit(wrong, data)


def test_names_must_differ(data_and_predictions):
    data, predictions = data_and_predictions
    images = ImageArray(data.images.images, ["same"] * COUNT)
    same = LabelledImages(images, data.labels, data.tasks)
    with pytest.raises(ValueError, match="`data`.*1 names for 400 images"):
        audit(predictions, same)


def test_a_model_of_other_outputs_or_inputs_is_refused(data_and_predictions):
    data, _ = data_and_predictions
    mood, affect = data.tasks
    for tasks, message in (
        (
            [kn.CategoricalTask("mood", class_names=CLASSES[::-1]), affect],
            "model for task 'mood', in their order: ",
        ),
        (
            # Tasks are found by name, in whatever order they are.
            [kn.ContinuousTask("affect", ("arousal", "valence")), mood],
            "model for task 'affect', in their order: arousal, valence",
        ),
    ):
        encoder = kn.Encoder(tasks, (32, 32, 3), width=1 / 16)
        with pytest.raises(ValueError, match=message):
            audit(kn.MultiTaskModel(encoder), data)
        with pytest.raises(ValueError, match="`image_shape` must be that of"):
            audit(kn.MultiTaskModel(encoder), data, image_shape=(48, 48, 3))


def test_two_tasks_must_not_share_a_column():
    images = np.zeros((4, 8, 8, 3), "uint8")
    tasks = [kn.ContinuousTask(name, ("x", "y")) for name in ("face", "hand")]
    values = np.linspace(-1, 1, 8).reshape(4, 2)
    labels = {"face": values, "hand": -values}
    # Images of an array have their numbers for names.
    data = LabelledImages(images, labels, tasks)
    table = audit(labels, data).images
    assert list(table["image"]) == ["0", "1", "2", "3"]
    assert {"face_x", "hand_x", "face_y_deviation"} < set(table)
    assert (table["face_x"] * table["hand_x"] < 0).all()
    tasks = [kn.CategoricalTask(name, 2) for name in ("a", "a_confidence")]
    labels = {task.name: np.array([0, 1, 1, 0]) for task in tasks}
    data = LabelledImages(images, labels, tasks)
    with pytest.raises(ValueError, match="one column a_confidence"):
        audit({name: np.full((4, 2), 0.5) for name in labels}, data)
