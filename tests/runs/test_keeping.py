"""`--keep-maps`: the choice depends on the samples, not on their order, and remembers K of them."""

import math
import random

import pytest

from saliency_cli.errors import UsageError
from saliency_cli.metrics.deletion import Deletion
from saliency_cli.metrics.gini import Gini
from saliency_cli.metrics.infidelity import Infidelity
from saliency_cli.records import InputMapRecord, ItemRecord, MapRecord, TargetRecord
from saliency_cli.runs.keeping import Keep, Keeping, parse_keep, ranking


def item(identity, *norms, metrics=(), notes=(), flags=(), status="ok"):
    """Return a record of a sample, with one map a norm."""
    target = TargetRecord(text="top", output="o", space="logit", label="0")
    maps = [
        MapRecord(
            method=f"m{number}",
            target=target,
            inputs={"x": InputMapRecord(shape=[1], l1=1, l2=norm, max=1, zeros=0, sum=0)},
            metrics=dict(metrics),
            notes=dict(notes),
        )
        for number, norm in enumerate(norms)
    ]
    return ItemRecord(id=identity, status=status, maps=maps, flags=list(flags))


def kept(keep, records, metrics=None, seed=0):
    """Return the ids that are chosen of records that come one after another."""
    keeping = Keeping(keep, ranking(keep, metrics or {}, seed))
    taken = {record.id for record in records if keeping.take(record)}
    chosen = {record.id for record in records if keeping.chosen(record)}
    assert chosen <= taken  # what is chosen in the end was kept when it came
    assert keeping.outdone == (chosen != taken)
    assert len(keeping._best) <= keep.count
    return chosen


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("all", Keep("all")),
        ("failing", Keep("failing")),
        ("none", Keep("none")),
        ("worst:3", Keep("worst", 3)),
        (" sample:20 ", Keep("sample", 20)),
    ],
)
def test_what_is_understood(text, expected):
    assert parse_keep(text) == expected
    assert parse_keep(expected.text) == expected


@pytest.mark.parametrize(
    "text", ["", "al", "all:3", "worst", "worst:", "worst:0", "worst:-1", "sample:x", "best:3", ":3"]
)
def test_what_is_not(text):
    with pytest.raises(UsageError, match="--keep-maps") as caught:
        parse_keep(text)
    assert "--keep-maps" in caught.value.hint


def test_all_none_and_failing_go_by_the_sample_alone():
    records = [item("a", 1), item("b", 1, flags=["constant"]), item("c", status="error")]
    assert kept(Keep("all"), records) == {"a", "b"}
    assert kept(Keep("failing"), records) == {"b"}
    assert kept(Keep("none"), records) == set()


def test_the_worst_without_a_metric_have_the_longest_gradient():
    records = [item(str(n), norm) for n, norm in enumerate((3.0, 9.0, 1.0, 7.0, 5.0))]
    assert kept(Keep("worst", 2), records) == {"1", "3"}
    assert kept(Keep("worst", 9), records) == set("01234")


def test_of_several_maps_the_worst_counts_and_inputs_are_one_vector():
    several = [item("a", 1, 8), item("b", 6, 6), item("c", 7, 1)]
    assert kept(Keep("worst", 2), several) == {"a", "c"}
    pair = item("d", 6)
    pair.maps[0].inputs["y"] = InputMapRecord(shape=[1], l1=1, l2=8, max=1, zeros=0, sum=0)
    assert ranking(Keep("worst", 1), {}, 0)(pair) == 10


@pytest.mark.parametrize(
    ("metric", "expected"),
    # Where lower is better the highest are worst; where neither is, the highest are taken too.
    [(Infidelity(), {"2", "3"}), (Deletion(), {"2", "3"}), (Gini(), {"2", "3"})],
)
def test_the_worst_by_a_metric(metric, expected):
    records = [item(str(n), 1, metrics={"m": float(n)}) for n in range(4)]
    assert kept(Keep("worst", 2), records, {"m": metric}) == expected


class Higher:
    better = "higher"


def test_where_higher_is_better_the_lowest_are_worst():
    records = [item(str(n), 1, metrics={"m": float(n)}) for n in range(4)]
    assert kept(Keep("worst", 2), records, {"m": Higher(), "other": Infidelity()}) == {"0", "1"}


def test_a_sample_without_a_value_has_no_rank_and_one_beyond_the_bound_has():
    found = [
        item("none", 1, metrics={"m": None}, notes={"m": "the map is zero everywhere"}),
        item("beyond", 1, metrics={"m": None}, notes={"m": "> 0.06"}),
        item("nan", 1, metrics={"m": math.nan}),
        item("one", 1, metrics={"m": 1.0}),
        item("error", status="error"),
    ]
    assert kept(Keep("worst", 9), found, {"m": Infidelity()}) == {"beyond", "one"}
    assert kept(Keep("worst", 1), found, {"m": Infidelity()}) == {"beyond"}
    assert kept(Keep("worst", 1), found, {"m": Higher()}) == {"one"}


@pytest.mark.parametrize("keep", [Keep("worst", 7), Keep("sample", 7)])
def test_the_order_doesnt_matter_nor_do_ties(keep):
    records = [item(f"in/{n}.png", n % 5) for n in range(60)]
    expected = kept(keep, records)
    assert len(expected) == 7
    for seed in range(5):
        shuffled = random.Random(seed).sample(records, len(records))
        assert kept(keep, shuffled) == expected


def test_a_sample_is_of_the_ids_and_the_seed():
    records = [item(str(n), 1) for n in range(2000)]
    first, again, other = (kept(Keep("sample", 500), records, seed=seed) for seed in (0, 0, 1))
    assert first == again != other
    assert kept(Keep("sample", 100), records) < first  # a smaller one is part of it
    # A fair draw: of 500 drawn of 2,000, those among the first half are 250 ± 3 σ (σ ≈ 9.7).
    assert abs(sum(int(identity) < 1000 for identity in first) - 250) < 30


def test_what_can_no_longer_be_kept_is_told_before_it_is_made_small():
    keeping = Keeping(Keep("worst", 2), ranking(Keep("worst", 2), {}, 0))
    assert keeping.may_keep(item("a", 1))
    for record in (item("a", 5), item("b", 6)):
        keeping.take(record)
    assert not keeping.may_keep(item("c", 4))
    assert keeping.may_keep(item("c", 5.5))
    assert not keeping.anew()._best
