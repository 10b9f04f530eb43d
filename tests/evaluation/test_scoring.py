import numpy as np
import pytest

from edgekit.errors import UsageError
from edgekit.evaluation.formats import load_dataset
from edgekit.evaluation.running import Shard
from edgekit.evaluation.scoring import Answers, Scorer


@pytest.fixture
def scorer(tmp_path):
    """Of four photos, two of each class."""
    (tmp_path / "my.csv").write_text("".join(f"{index}.jpg,{index % 2}\n" for index in range(4)))
    return Scorer(load_dataset(tmp_path / "my.csv"), {"0": 5, "1": 6}, 1000, 0)


def test_shards_are_joined_with_the_places_of_their_failed_photos():
    shards = [Shard(answers=[[1], None], failed={"1": "broken"}), Shard(answers=[None, [2]], failed={"0": "gone"})]
    answers = Answers.of(shards)
    assert answers.values == [[1], None, None, [2]]
    assert answers.failed == {1: "broken", 2: "gone"}


def test_photos_without_an_answer_do_not_count(scorer):
    found = scorer.metrics(Answers([[5], None, [6, 5], [6]], {1: "broken"}))
    assert found["top1"].value == pytest.approx(200 / 3)
    assert found["top5"].value == pytest.approx(100)


def test_a_comparison_is_of_the_photos_that_both_have_read(scorer):
    this, that = Answers([[5], None, [5], [6]], {1: "broken"}), Answers([[5], [6], [4], None], {3: "broken"})
    found = scorer.compare(this, that, "pytorch", "hash")
    assert (found.n, found.only_this, found.only_that) == (2, 1, 0)


def test_no_answer_at_all_is_an_error(scorer):
    with pytest.raises(UsageError, match="None of the 4 photos could be read: gone"):
        scorer.metrics(Answers([None] * 4, {0: "gone"}))


def test_pixels_of_two_models_are_compared_by_a_paired_bootstrap(tmp_path):
    from PIL import Image

    for index in range(30):
        Image.new("RGB", (2, 2)).save(tmp_path / f"{index}.jpg")
        Image.new("P", (2, 2)).save(tmp_path / f"{index}.png")
    random = np.random.default_rng(0)
    right = random.integers(40, 90, 30).tolist()
    this = Answers([{"0": [pixels, 0, 100 - pixels]} for pixels in right], {})
    better = Answers([{"0": [pixels + 2, 0, 98 - pixels]} for pixels in right], {})
    found = Scorer(load_dataset(tmp_path), {}, 21, 0).compare(this, better, "pytorch", "hash")
    assert found.difference.value == pytest.approx(-2)
    assert found.difference.interval == pytest.approx((-2, -2))  # not paired it would be some points wide
