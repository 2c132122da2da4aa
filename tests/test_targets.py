"""The grammar of `--target`, `--label` and `--class-names`, and what a user reads where they are wrong."""

import contextlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from saliency_cli.errors import InputError, UsageError
from saliency_cli.targets import (
    Classes,
    check_target,
    parse_target,
    parse_truth,
    read_class_names,
    resolve,
)

PLAIN = Classes(6)
NAMED = Classes(6, ("cat", "dog", "Polar Bear", "sea - lion", "top", "0"))
LOGITS = np.float32([0.5, 2.0, -1.0, 2.0, 7.0, 1.0])


def weights_of(text, classes=PLAIN, logits=LOGITS):
    parsed = parse_target(text)
    check_target(parsed, classes)
    return [target.weights.tolist() for target in resolve(parsed, classes, logits)]


def unit(*indices, n=6):
    return [np.eye(n)[index].tolist() for index in indices]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("top", unit(4)),
        ("top:1", unit(4)),
        ("top:3", unit(4, 1, 3)),
        (" top:6 ", unit(4, 1, 3, 5, 0, 2)),
        ("all", unit(*range(6))),
        ("0", unit(0)),
        ("5", unit(5)),
        ("class:5", unit(5)),
        ("3*2", [[0, 0, 3, 0, 0, 0]]),
        ("class:3 - class:5", [[0, 0, 0, 1, 0, -1]]),
        ("3 - 5", [[0, 0, 0, 1, 0, -1]]),
        ("0.5*1 + 0.5*2", [[0, 0.5, 0.5, 0, 0, 0]]),
        (".25*1 + 2", [[0, 0.25, 1, 0, 0, 0]]),
        ("1 + 1", [[0, 2, 0, 0, 0, 0]]),
        ("-class:1", [[0, -1, 0, 0, 0, 0]]),
        ("-1*1", [[0, -1, 0, 0, 0, 0]]),
        ("1 - 2 - 3", [[0, 1, -1, -1, 0, 0]]),
        ("2 * class:3", [[0, 0, 0, 2, 0, 0]]),
    ],
)
def test_what_a_text_means(text, expected):
    assert weights_of(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("cat", unit(0)),
        ("Cat", unit(0)),
        ("class:dog", unit(1)),
        ("polar bear", unit(2)),
        ("sea - lion", unit(3)),
        ("class:sea - lion", unit(3)),
        ("class:top", unit(4)),
        ("top", unit(4)),
        ("0", unit(5)),
        ("1", unit(1)),
        ("cat - dog", [[1, -1, 0, 0, 0, 0]]),
        ("0.5*cat + 0.5*Polar Bear", [[0.5, 0, 0.5, 0, 0, 0]]),
        ("-cat", [[-1, 0, 0, 0, 0, 0]]),
        ("cat - 1", [[1, -1, 0, 0, 0, 0]]),
    ],
)
def test_what_a_text_means_among_names(text, expected):
    assert weights_of(text, NAMED) == expected


@pytest.mark.parametrize(
    "text", ["", "  ", "top:0", "top:", "top:x", "top: 3", "top 3", "top-3", "top:-1", "3 - ", "+", "class:"]
)
def test_a_text_without_sense(text):
    with pytest.raises(UsageError) as caught:
        parse_target(text)
    assert f"the target '{text}' makes no sense" in caught.value.message
    assert "top:3, all, label, an index, a class name, or a sum" in caught.value.hint
    assert caught.value.reason == "bad-target"


def test_names_that_begin_like_a_keyword():
    classes = Classes(3, ("top hat", "topaz", "all"))
    assert weights_of("top hat", classes) == unit(0, n=3)
    assert weights_of("topaz", classes) == unit(1, n=3)
    assert weights_of("class:all", classes) == unit(2, n=3)


@pytest.mark.parametrize(
    ("text", "classes", "message", "hint", "reason"),
    [
        ("6", PLAIN, "target 6 is out of range: the output has 6 classes, 0 to 5", "inspect", "target-out-of-range"),
        ("99999999", PLAIN, "target 99999999 is out of range", "inspect", "target-out-of-range"),
        ("-1", PLAIN, "target -1 is out of range", "inspect", "target-out-of-range"),
        ("class:-1", PLAIN, "target -1 is out of range", "inspect", "target-out-of-range"),
        ("1 - 6", PLAIN, "target 6 is out of range", "inspect", "target-out-of-range"),
        ("top:7", PLAIN, "asks for 7 classes, and the output has 6", "--target top:6", "target-out-of-range"),
        ("cat", PLAIN, "no class is called 'cat'", "--class-names FILE", "unknown-target"),
        ("dgo", NAMED, "no class is called 'dgo'", "did you mean 'dog'?", "unknown-target"),
        ("zebra", NAMED, "no class is called 'zebra'", "the classes are: cat, dog", "unknown-target"),
        ("cat - dgo", NAMED, "no class is called 'dgo'", "did you mean 'dog'?", "unknown-target"),
        ("1 - 1", PLAIN, "the target '1 - 1' cancels out", "class:3 - class:5", "bad-target"),
        ("0*2", PLAIN, "cancels out", "", "bad-target"),
    ],
)
def test_a_class_that_is_not_there(text, classes, message, hint, reason):
    with pytest.raises(UsageError) as caught:
        check_target(parse_target(text), classes)
    assert message in caught.value.message
    assert hint in caught.value.hint
    assert caught.value.reason == reason
    assert caught.value.exit_code == 2


def test_two_classes_of_one_name_are_not_guessed_at():
    """ImageNet has two cranes and two maillots."""
    cranes = Classes(3, ("crane", "heron", "crane"))
    with pytest.raises(UsageError, match="2 classes are called 'crane': 0, 2") as caught:
        check_target(parse_target("crane"), cranes)
    assert caught.value.hint == "give the index: --target 0"
    assert weights_of("2", cranes, None) == unit(2, n=3)


def test_ties_go_to_the_lower_index():
    assert weights_of("top:2", Classes(3), np.float32([1, 5, 5])) == unit(1, 2, n=3)


def test_targets_know_their_names():
    (first, second) = resolve(parse_target("top:2"), NAMED, LOGITS)
    assert (first.text, first.label, first.index) == ("top:2", "top", 4)
    assert (second.label, second.index) == ("dog", 1)
    (difference,) = resolve(parse_target("cat - dog"), NAMED, None)
    assert (difference.label, difference.index) == ("cat - dog", None)


def test_only_top_needs_a_prediction():
    assert parse_target("top:2").needs_prediction
    assert not any(parse_target(text).needs_prediction for text in ("all", "3", "cat - dog"))


@given(terms=st.lists(st.tuples(st.sampled_from([-10, -0.25, 0.5, 1, 3.75]), st.integers(0, 5)), min_size=1))
def test_any_sum_is_read_as_written(terms):
    text = "".join(f" {'-' if c < 0 else '+'} {abs(c)}*class:{i}" for c, i in terms).removeprefix(" + ").strip()
    expected = np.zeros(6)
    for coefficient, index in terms:
        expected[index] += coefficient
    (target,) = resolve(parse_target(text), PLAIN, None)
    np.testing.assert_array_equal(target.weights, expected.astype(np.float32))


@given(text=st.text(max_size=12))
def test_any_text_is_a_target_or_a_usage_error(text):
    with contextlib.suppress(UsageError):
        check_target(parse_target(text), NAMED)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("cat\ndog\n", ("cat", "dog")),
        ("cat\r\ndog", ("cat", "dog")),
        ("\ufeffcat\n dog \n\n", ("cat", "dog")),
        ("cat\n\nbird", ("cat", "", "bird")),
        ("0 cat\n1 polar bear\n", ("cat", "polar bear")),
        ("1 cat\n2 dog", ("1 cat", "2 dog")),
        ("7 up\n1 dog", ("7 up", "1 dog")),
        ('["cat", "dog"]', ("cat", "dog")),
        ('{"0": "cat", "1": "dog"}', ("cat", "dog")),
        ('{"2": "k", "1": "j", "0": "a"}', ("a", "j", "k")),
        ('{"dog": 1, "cat": 0}', ("cat", "dog")),
        ('{"0": ["n01440764", "tench"], "1": ["n01443537", "goldfish"]}', ("tench", "goldfish")),
        ('[["n01440764", "tench"], ["n01443537", "goldfish"]]', ("tench", "goldfish")),
        ("[1, 2]", ("1", "2")),
    ],
)
def test_class_names_files(text, names):
    assert read_class_names(text) == names


@pytest.mark.parametrize(
    "text",
    ['["cat", ', '{"cat": 0, "dog": 7}', '{"10": "k", "0": "a"}', '{"0": []}', '["a", ""]', "[]", "{}", "", "  \n"],
)
def test_class_names_files_that_are_broken(text):
    with pytest.raises(UsageError) as caught:
        read_class_names(text)
    assert "class names" in caught.value.message
    assert caught.value.reason == "class-names"


def test_as_many_names_as_classes():
    with pytest.raises(UsageError, match="the class names are 2, and the output has 3 classes") as caught:
        Classes(3, ("cat", "dog"))
    assert "one name a line" in caught.value.hint
    assert Classes(2, ("cat", "dog")).label(1) == "dog"
    assert Classes(2).label(1) == "1"


@pytest.mark.parametrize(
    ("text", "loss", "shape", "classes", "expected"),
    [
        ("2", "sparse_categorical_crossentropy", (6,), PLAIN, 2),
        ("dog", "sparse_categorical_crossentropy", (6,), NAMED, 1),
        ("2", "categorical_crossentropy", (6,), PLAIN, unit(2)[0]),
        ("dog", "categorical_crossentropy", (6,), NAMED, unit(1)[0]),
        ("0,0,1,0,0,0", "categorical_crossentropy", (6,), PLAIN, unit(2)[0]),
        (".5,.5,0,0,0,0", "categorical_crossentropy", (6,), PLAIN, [0.5, 0.5, 0, 0, 0, 0]),
        ("1", "binary_crossentropy", (1,), Classes(2), [1]),
        ("0.25", "binary_crossentropy", (1,), Classes(2), [0.25]),
        ("yes", "binary_crossentropy", (1,), Classes(2, ("no", "yes")), [1]),
        ("dog", "binary_crossentropy", (6,), NAMED, unit(1)[0]),
        ("0.5", "mse", (3,), Classes(3), [0.5, 0.5, 0.5]),
        ("1,2,3", "mse", (3,), Classes(3), [1, 2, 3]),
        ("-2.5e1", "mae", (1,), Classes(1), [-25]),
        ("1,2,3,4", "huber", (2, 2), Classes(2), [[1, 2], [3, 4]]),
    ],
)
def test_what_a_label_means(text, loss, shape, classes, expected):
    found = parse_truth(text, classes, loss, shape)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, np.float32(expected))


@pytest.mark.parametrize(
    ("text", "loss", "shape", "message"),
    [
        ("1,2", "mse", (3,), "the label has 2 values, and the output has 3"),
        ("cat", "mse", (3,), "no class is called 'cat'"),
        ("9", "categorical_crossentropy", (6,), "target 9 is out of range"),
        ("6", "sparse_categorical_crossentropy", (6,), "out of range"),
        ("nan", "mse", (1,), "not a finite number"),
        ("inf,0,0", "mse", (3,), "not a finite number"),
        ("2", "categorical_crossentropy", (4, 6), "the output has 24 values for 6 classes"),
    ],
)
def test_a_label_that_does_not_fit(text, loss, shape, message):
    with pytest.raises((InputError, UsageError), match=message):
        parse_truth(text, PLAIN, loss, shape)
