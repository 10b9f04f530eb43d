"""Which images int8 is calibrated on, and what is said against them."""

import numpy as np
import pytest
from PIL import Image

from edgekit.build.examples import calibration_images
from edgekit.build.photos import default_photos, parity_photos, photo_set
from edgekit.errors import UsageError
from edgekit.recipe.loading import load_recipe

RECIPE = load_recipe("v1", ("model.resolution=32", "calibration.count=40"))


def photos(folder, *images):
    folder.mkdir(exist_ok=True)
    for index, image in enumerate(images):
        Image.fromarray(image).save(folder / f"{index}.png")
    return photo_set(folder)


def noise(count, seed=0):
    """Photos that differ: each has a brightness and a structure of its own."""
    random = np.random.default_rng(seed)
    coarse = random.integers(0, 256, (count, 4, 4, 3), dtype=np.uint8)
    return [np.kron(one, np.ones((16, 16, 1), np.uint8)) for one in coarse]


def flat(level):
    return np.full((64, 64, 3), level, np.uint8)


def test_the_default_is_varied_crops_for_trained_weights_and_plain_ones_for_random_weights():
    trained, chosen, warnings = calibration_images(RECIPE, default_photos(), random=False)
    random, plain, _ = calibration_images(RECIPE, default_photos(), random=True)
    assert (len(trained), len(random), warnings) == (64, 32, [])
    assert (chosen["choice"], plain["choice"]) == (
        "varied crops of the default photos",
        "plain crops of the default photos",
    )
    assert trained.std() > random.std()  # other contrasts and colours reach further


def test_no_photo_of_parity_is_one_of_calibration():
    assert not {path.name for path in parity_photos().paths} & {path.name for path in default_photos().paths}
    assert len(set(parity_photos().paths)) == 8


def test_photos_of_the_user_are_shown_as_at_evaluation_up_to_their_count(tmp_path):
    own = photos(tmp_path / "photos", *noise(50))
    images, chosen, warnings = calibration_images(RECIPE, own, random=False)
    again, _, _ = calibration_images(RECIPE, own, random=False)
    assert (images.shape, warnings) == ((40, 3, 32, 32), [])
    assert chosen == {"choice": "photos as at evaluation", "photos": 40, "images": 40, "seed": 1}
    assert np.array_equal(images, again)


def test_few_photos_are_named_and_completed_by_crops_of_them(tmp_path):
    images, chosen, warnings = calibration_images(RECIPE, photos(tmp_path / "photos", *noise(3)), random=False)
    assert (len(images), chosen["photos"]) == (32, 3)
    assert warnings == ["There are only 3 calibration photos; int8 is more accurate with 32 or more."]


def test_photos_that_look_alike_are_named(tmp_path):
    (image,) = noise(1)
    alike = [np.clip(image.astype(int) + shift, 0, 255).astype(np.uint8) for shift in range(40)]
    _, _, warnings = calibration_images(RECIPE, photos(tmp_path / "photos", *alike), random=False)
    assert warnings == ["The calibration photos look alike: int8 may be wrong on photos that differ from them."]


def test_a_flat_photo_among_others_is_counted_and_flat_photos_alone_are_refused(tmp_path):
    _, _, warnings = calibration_images(RECIPE, photos(tmp_path / "some", *noise(39), flat(0)), random=False)
    assert warnings == ["1 of 40 calibration photos have a single colour."]
    with pytest.raises(UsageError, match="Each of the 2 calibration photos has a single colour"):
        calibration_images(RECIPE, photos(tmp_path / "all", flat(0), flat(255)), random=False)
