"""The packer over a NumPy stand-in: bits, fairness, failures, laziness. No TensorFlow."""

import itertools
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy_evaluator import NumpyEvaluator, bits, job, noisy_ask, program, sample_of

from saliency_cli.autodiff.packing import Job, Packer, Query
from saliency_cli.differentiable import GRADIENT, VALUES
from saliency_cli.errors import InputError, UsageError

LENGTHS = {0: (5,), 1: (), 2: (17, 3), 3: (1, 1, 1), 4: (8,), 5: (0, 2), 6: (30,)}


def run(evaluator, jobs, classes=3):
    return list(Packer(evaluator, classes=classes).run(jobs))


def results(outcomes):
    assert all(outcome.error is None for outcome in outcomes)
    return {outcome.key: bits(outcome.result) for outcome in outcomes}


@pytest.fixture(scope="module")
def alone():
    """The answers of every job run on its own, one point a batch."""
    return {key: results(run(NumpyEvaluator(1), [job(key, *n, squares=True)]))[key] for key, n in LENGTHS.items()}


@given(batch=st.integers(1, 40), keys=st.permutations(sorted(LENGTHS)), count=st.integers(1, len(LENGTHS)))
@settings(deadline=None, max_examples=60)
def test_any_batch_size_order_and_subset_gives_the_same_bits(alone, batch, keys, count):
    chosen = keys[:count]
    found = results(run(NumpyEvaluator(batch), [job(key, *LENGTHS[key], squares=True) for key in chosen]))
    assert found == {key: alone[key] for key in chosen}


@given(seed=st.integers(0, 100))
@settings(deadline=None, max_examples=20)
def test_pauses_of_the_source_do_not_change_a_bit(alone, seed):
    rng = random.Random(seed)
    jobs = [each for key, n in LENGTHS.items() for each in (job(key, *n, squares=True), *[None] * rng.randrange(3))]
    assert results(run(NumpyEvaluator(8), jobs)) == alone


def test_the_sums_are_what_was_asked():
    sample = sample_of(0)
    ask = noisy_ask(sample, 9, squares=True, each=True)

    def one():
        return (yield Query(ask, weights=np.float32([0, 0, 2])))

    evaluator = NumpyEvaluator(4)
    (outcome,) = run(evaluator, [Job("x", sample, one())])
    answer = outcome.result.answer
    points = np.empty((9, 3, 2), np.float32)
    for i in range(9):
        ask.point(i, {"x": points[i]})
    gradients = 6 * (1 - np.tanh(points) ** 2)
    weights = np.linspace(0.5, 1.5, 9).reshape(9, 1, 1)
    np.testing.assert_allclose(answer.each["x"], gradients, rtol=1e-6)
    np.testing.assert_allclose(answer.gradients["x"], (weights * gradients).sum(0), rtol=1e-6)
    np.testing.assert_allclose(answer.squares["x"], (weights * gradients**2).sum(0), rtol=1e-6)
    np.testing.assert_allclose(answer.values, 2 * (3 * np.tanh(points).sum((1, 2)) + 2), rtol=1e-5)
    assert answer.gradients["x"].dtype == np.float64
    assert answer.each["x"].dtype == np.float32


def test_what_was_not_asked_for_is_not_kept():
    (outcome,) = run(NumpyEvaluator(4), [job(0, 5)])
    assert not outcome.result[1].squares
    assert not outcome.result[1].each


def test_full_batches_and_one_padded_with_zeros():
    evaluator = NumpyEvaluator(8)
    run(evaluator, [job(key) for key in range(21)])
    assert len(evaluator.batches) == 3
    assert [int(batch["top"].sum()) for batch in evaluator.batches] == [8, 8, 5]
    np.testing.assert_array_equal(evaluator.batches[-1]["x"][5:], 0)


def test_long_asks_fill_their_batches():
    evaluator = NumpyEvaluator(8)
    run(evaluator, [job(key, 20) for key in range(10)])
    assert len(evaluator.batches) <= 10 * 21 / 8 + 3


def test_whoever_came_first_is_served_first():
    outcomes = run(NumpyEvaluator(8), [job(key, 20) for key in range(12)])
    assert [outcome.key for outcome in outcomes] == list(range(12))


def test_a_short_job_behind_long_ones_is_not_starved():
    outcomes = run(NumpyEvaluator(8), [job(0, 200), job(1, 200), job(2)])
    assert {outcome.key for outcome in outcomes} == {0, 1, 2}


def test_outcomes_come_as_they_finish():
    """The first results are there long before the source is used up."""
    pulled = itertools.count()
    packer = Packer(NumpyEvaluator(4), classes=3)
    outcomes = packer.run(job(next(pulled)) for _ in range(400))
    for _ in range(4):
        next(outcomes)
    assert next(pulled) < 20
    outcomes.close()


@pytest.mark.parametrize("length", [8, 50, 1000])
def test_few_samples_are_alive_when_asks_are_long(length):
    """Memory depends on the batch, not on the number of inputs."""
    alive, most = set(), 0

    def source():
        nonlocal most
        for key in range(30):
            alive.add(key)
            most = max(most, len(alive))
            yield job(key, length)

    for outcome in Packer(NumpyEvaluator(8), classes=3).run(source()):
        alive.discard(outcome.key)
    assert most <= 24


def test_samples_of_many_shapes_do_not_pull_the_whole_source():
    pulled = []

    def source():
        for key in range(200):
            pulled.append(key)
            yield job(key, 3, shape=(1 + key % 50, 2))

    outcomes = Packer(NumpyEvaluator(8), classes=3).run(source())
    next(outcomes)
    assert len(pulled) <= 40
    assert len(list(outcomes)) == 199


def test_samples_of_several_shapes_never_share_a_batch(alone):
    jobs = [job(key, 4, shape=(2 + key % 3, 2)) for key in range(9)]
    found = results(run(NumpyEvaluator(4), jobs))
    for key in range(9):
        (outcome,) = run(NumpyEvaluator(1), [job(key, 4, shape=(2 + key % 3, 2))])
        assert found[key] == bits(outcome.result)


def test_none_sends_off_what_there_is():
    """A source that waits for its reader must get the outcome of what it gave before it is asked again."""
    seen = []

    def source():
        for key in range(3):
            yield job(key, 5)
            yield None
            assert seen == list(range(key + 1)), "asked for more before the last outcome was out"

    for outcome in Packer(NumpyEvaluator(8), classes=3).run(source()):
        seen.append(outcome.key)
    assert seen == [0, 1, 2]


@pytest.mark.parametrize("jobs", [[], [None], [None, None]])
def test_nothing_to_do(jobs):
    evaluator = NumpyEvaluator(8)
    assert run(evaluator, jobs) == []
    assert evaluator.batches == []


def test_a_program_that_never_asks_is_done():
    def idle():
        return "nothing to ask"
        yield

    (outcome,) = run(NumpyEvaluator(8), [Job("idle", sample_of(0), idle())])
    assert outcome.result == "nothing to ask"


@pytest.mark.parametrize("when", [0, 1, 2])
def test_a_program_that_raises_ends_alone(alone, when):
    error = InputError("this one fails", reason="test")

    def failing(sample):
        for _ in range(when):
            yield Query(noisy_ask(sample, 11))
        raise error
        yield

    sample = sample_of(99)
    jobs = [job(key, *n, squares=True) for key, n in LENGTHS.items()]
    jobs.insert(2, Job("bad", sample, failing(sample)))
    outcomes = {outcome.key: outcome for outcome in run(NumpyEvaluator(8), jobs)}
    assert outcomes.pop("bad").error is error
    assert results(outcomes.values()) == alone


def test_a_program_s_bug_is_raised():
    def broken(sample):
        yield Query(sample.itself())
        raise ZeroDivisionError

    sample = sample_of(0)
    with pytest.raises(ZeroDivisionError):
        run(NumpyEvaluator(8), [Job("bad", sample, broken(sample))])


def poison(inputs):
    if np.any(inputs["x"] > 1e6):
        raise InputError("the device refused this batch", reason="test")


def poisoned(key, *lengths):
    """A job whose every point is refused."""
    sample = sample_of(99)
    sample.inputs["x"][...] = 1e7
    return Job(key, sample, program(sample, *lengths))


def asks_at_once(key, n):
    """A poisoned job whose first ask fills several batches."""
    sample = sample_of(99)
    sample.inputs["x"][...] = 1e7

    def run():
        yield Query(noisy_ask(sample, n))

    return Job(key, sample, run())


@pytest.mark.parametrize("bad", [lambda: poisoned("bad", 40), lambda: asks_at_once("bad", 100)])
def test_a_batch_that_fails_ends_its_own_jobs_once_and_no_other(alone, bad):
    jobs = [job(key, *n, squares=True) for key, n in LENGTHS.items()]
    outcomes = run(NumpyEvaluator(4, fail=poison), [jobs[0], None, bad(), None, *jobs[1:]])
    failed = [outcome.key for outcome in outcomes if outcome.error]
    assert failed.count("bad") == 1
    assert len(outcomes) == len({outcome.key for outcome in outcomes}) == len(LENGTHS) + 1
    for outcome in outcomes:
        if outcome.error is None:
            assert bits(outcome.result) == alone[outcome.key]
        else:
            assert outcome.error.message == "the device refused this batch"
    assert len(failed) <= 4


@pytest.mark.parametrize("error", [UsageError("wrong"), MemoryError("device")])
def test_any_other_failure_of_the_evaluator_stops_the_run(error):
    def fail(inputs):
        raise error

    with pytest.raises(type(error)):
        run(NumpyEvaluator(4, fail=fail), [job(0), job(1)])


def test_held_inputs_and_truths_are_rows_of_the_batch():
    seen = []

    class Evaluator(NumpyEvaluator):
        def __call__(self, inputs, weights, top, truth, trace):
            seen.append((inputs["tokens"].copy(), truth.copy(), top.copy(), weights.copy()))
            return super().__call__({"x": inputs["x"]}, weights, top, truth, trace)

    from saliency_cli.differentiable import Sample

    def one(sample, **about):
        return (yield Query(sample.itself(), **about))

    jobs = []
    for key, about in enumerate(
        [{"truth": np.float32([1, 2])}, {"weights": np.float32([0, 1, 0])}, {}, {"truth": np.float32([3, 4])}]
    ):
        x = sample_of(key).inputs["x"]
        sample = Sample({"x": x, "tokens": np.int32([key, 7])}, ("x",), lambda kind: {})
        jobs.append(Job(key, sample, one(sample, **about)))
    list(Packer(Evaluator(5), classes=3, truth_shape=(2,)).run(jobs))
    ((tokens, truth, top, weights),) = seen
    np.testing.assert_array_equal(tokens, [[0, 7], [1, 7], [2, 7], [3, 7], [0, 0]])
    np.testing.assert_array_equal(truth, [[1, 2], [0, 0], [0, 0], [3, 4], [0, 0]])
    np.testing.assert_array_equal(top, [False, False, True, False, False])
    np.testing.assert_array_equal(weights, np.eye(5, 3)[[3, 1, 3, 3, 3]] * (np.arange(5) == 1)[:, None])


def test_a_trace_without_gradients_gives_the_same_values_and_shares_no_batch_with_others():
    """VALUES asks are answered by batches of their own; what they say is what the gradient's trace says."""

    def both(sample):
        first = yield Query(noisy_ask(sample, 5), weights=np.float32([0, 1, 0]))
        second = yield Query(noisy_ask(sample, 5, trace=VALUES), weights=np.float32([0, 1, 0]))
        return first.answer, second.answer

    evaluator = NumpyEvaluator(4)
    jobs = [Job(key, sample, both(sample)) for key, sample in ((k, sample_of(k)) for k in range(3))]
    for outcome in Packer(evaluator, classes=3).run(jobs):
        gradient, values = outcome.result
        assert values.gradients == {}
        assert values.values.tobytes() == gradient.values.tobytes()
        assert values.tops.tolist() == gradient.tops.tolist()
    assert {batch["trace"] for batch in evaluator.batches} == {GRADIENT, VALUES}


def test_a_rare_trace_waits_until_it_fills_a_batch():
    """One value ask a sample beside twenty gradients: batches of values are full, not one a sample."""

    def both(sample):
        yield Query(noisy_ask(sample, 20), weights=np.float32([0, 1, 0]))
        yield Query(noisy_ask(sample, 1, trace=VALUES), weights=np.float32([0, 1, 0]))

    evaluator = NumpyEvaluator(4)
    run(evaluator, [Job(key, sample, both(sample)) for key, sample in ((k, sample_of(k)) for k in range(16))])
    kinds = [batch["trace"] for batch in evaluator.batches]
    assert kinds.count(GRADIENT) == 80
    assert kinds.count(VALUES) <= 6


def test_only_so_many_samples_are_under_way():
    begun, most = 0, 0

    def jobs():
        nonlocal begun
        for key in range(200):
            begun += 1
            yield job(key, 3)

    done = 0
    for _ in Packer(NumpyEvaluator(4), classes=3).run(jobs()):
        done += 1
        most = max(most, begun - done)
    assert done == 200
    assert most <= 2 * 4 + 1
