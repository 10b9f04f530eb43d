import numpy as np
import pytest
from PIL import Image

from edgekit.build.photos import crops, open_photo, photo_set, preprocess
from edgekit.errors import UsageError
from edgekit.recipe.loading import load_recipe

PREPROCESSING = load_recipe("v2").preprocessing


def test_the_default_photos_are_scikit_learns_two():
    found = photo_set()
    assert {path.name for path in found.paths} == {"china.jpg", "flower.jpg"}


def test_the_hash_of_a_set_sees_contents_and_not_names(tmp_path):
    for folder, names in {"one": ("a.png", "b.png"), "two": ("y.png", "x.png"), "three": ("a.png",)}.items():
        (tmp_path / folder).mkdir()
        for index, name in enumerate(names):
            Image.new("RGB", (8, 8), (index, 0, 0)).save(tmp_path / folder / name)
    one, two, three = (photo_set(tmp_path / folder).sha256 for folder in ("one", "two", "three"))
    assert one == two != three
    first, renamed = (crops(photo_set(tmp_path / folder), PREPROCESSING, 32, 2, 0) for folder in ("one", "two"))
    assert np.array_equal(first, renamed)


@pytest.mark.parametrize("content", [None, b"", b"no photo", b"P6 " + b"1" * 99])
def test_what_is_no_photo_is_said(tmp_path, content):
    path = tmp_path / "cat.jpg"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UsageError, match=r"cat\.jpg"):
        open_photo(path)


def test_one_file_that_is_no_photo_is_said_of_a_folder_before_anything_is_done(tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    (tmp_path / "b.jpg").write_bytes((tmp_path / "a.png").read_bytes()[:40])
    with pytest.raises(UsageError, match=r"b\.jpg is not a photo") as raised:
        photo_set(tmp_path)
    assert raised.value.failure.hint


def test_a_folder_without_photos_is_said(tmp_path):
    with pytest.raises(UsageError, match="does not contain a photo"):
        photo_set(tmp_path)
    with pytest.raises(UsageError, match="no folder"):
        photo_set(tmp_path / "none")


def make_photo():
    """Return 48 x 32 pixels whose four corners differ."""
    rows, columns = np.indices((32, 48))
    return Image.fromarray(np.stack([rows * 7, columns * 5, np.full_like(rows, 60)], -1).astype(np.uint8))


TURNS = {3: Image.Transpose.ROTATE_180, 6: Image.Transpose.ROTATE_90, 8: Image.Transpose.ROTATE_270}


@pytest.mark.parametrize("orientation", TURNS)
@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tiff"])
def test_a_photo_is_turned_upright(tmp_path, orientation, suffix):
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"turned.{suffix}"
    make_photo().transpose(TURNS[orientation]).save(path, exif=exif, quality=100)
    difference = np.asarray(open_photo(path), int) - np.asarray(make_photo(), int)
    assert np.abs(difference).mean() < 4


@pytest.mark.parametrize("name", ["gray.png", "gray.tif"])
def test_16_bits_of_gray_are_scaled_to_8(tmp_path, name):
    gray = np.asarray(make_photo().convert("L"))
    Image.fromarray(gray.astype(np.uint16) * 257).save(tmp_path / name)
    assert np.array_equal(np.asarray(open_photo(tmp_path / name))[..., 1], gray)


@pytest.mark.parametrize("pixels", [np.float32, np.int32])
def test_pixels_without_a_known_range_are_refused_by_name(tmp_path, pixels):
    Image.fromarray(np.asarray(make_photo().convert("L")).astype(pixels)).save(tmp_path / "float.tiff")
    with pytest.raises(UsageError, match=r"float\.tiff has float or 32-bit pixels") as raised:
        photo_set(tmp_path)
    assert "8 or 16 bits" in raised.value.failure.hint


def palette(transparent):
    return transparent.quantize(16)


@pytest.mark.parametrize(
    "stored", [Image.Image.copy, lambda rgba: rgba.convert("LA"), palette], ids=["RGBA", "LA", "palette"]
)
def test_what_is_transparent_is_white(tmp_path, stored):
    transparent = Image.new("RGBA", (8, 8), (0, 0, 0, 0))
    transparent.paste((0, 0, 0, 255), (0, 0, 8, 4))
    stored(transparent).save(tmp_path / "logo.png")
    shown = np.asarray(open_photo(tmp_path / "logo.png"))
    assert shown[:4].max() == 0
    assert shown[4:].min() == 255


def test_a_colour_that_a_png_names_as_transparent_is_white(tmp_path):
    photo = Image.new("RGB", (8, 8), (9, 8, 7))
    photo.paste((0, 0, 0), (0, 0, 8, 4))
    photo.save(tmp_path / "logo.png", transparency=(9, 8, 7))
    assert np.asarray(open_photo(tmp_path / "logo.png"))[4:].min() == 255


def test_a_tree_of_class_folders_is_walked_and_hidden_files_are_skipped(tmp_path):
    for name in ("n01/a.jpg", "n02/x.jpg/b.TIF", "c.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        make_photo().save(tmp_path / name)
    for hidden in ("._c.png", ".cache/d.png", "n01/._a.jpg"):
        (tmp_path / hidden).parent.mkdir(exist_ok=True)
        (tmp_path / hidden).write_bytes(b"not a photo")
    (tmp_path / "n01/again").symlink_to(tmp_path)
    assert {path.name for path in photo_set(tmp_path).paths} == {"a.jpg", "b.TIF", "c.png"}
    assert len(photo_set(tmp_path).paths) == 3


@pytest.mark.parametrize("size", [(300, 200), (200, 300), (256, 256)])
def test_preprocessing_is_resize_crop_and_normalise(size):
    photo = Image.new("RGB", size, (255, 0, 127))
    image = preprocess(photo, PREPROCESSING, 224)
    assert image.shape == (3, 224, 224)
    expected = [(1 - 0.485) / 0.229, (0 - 0.456) / 0.224, (127 / 255 - 0.406) / 0.225]
    np.testing.assert_allclose(image.mean((1, 2)), expected, rtol=1e-5)


def test_the_crop_is_the_centre():
    for border, darkest in ((16, 2.2), (17, -2.2)):  # 224 of 256 pixels leave 16 on each side
        photo = Image.new("RGB", (256, 256))
        photo.paste((255, 255, 255), (border, border, 256 - border, 256 - border))
        image = preprocess(photo, PREPROCESSING, 224)
        assert image.min() > darkest if darkest > 0 else image[:, 0, 0].max() < -1.7


def test_crops_are_seeded_and_differ_by_seed():
    photos = photo_set()
    one, again, other = (crops(photos, PREPROCESSING, 32, 4, seed) for seed in (0, 0, 1))
    assert one.shape == (4, 3, 32, 32)
    assert one.dtype == np.float32
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)


def test_a_rectangular_input_is_covered_and_keeps_its_aspect_ratio():
    photo = Image.new("RGB", (300, 200), (255, 0, 127))
    photo.paste((0, 0, 0), (0, 0, 20, 200))  # beyond the crop: 200 rows become 100, so 150 columns, of which 120 stay
    whole = PREPROCESSING.model_copy(update={"crop_fraction": 1.0})
    image = preprocess(photo, whole, (100, 120))
    assert image.shape == (3, 100, 120)
    assert image[0].min() > 2
    assert crops(photo_set(), PREPROCESSING, (64, 128), 3, 0).shape == (3, 3, 64, 128)


def test_stretching_shows_the_whole_photo():
    photo = Image.new("RGB", (300, 200))
    photo.paste((255, 255, 255), (150, 0, 300, 200))
    image = preprocess(photo, PREPROCESSING.model_copy(update={"fit": "stretch"}), (64, 64))
    assert image[0, :, :30].max() < -2
    assert image[0, :, 34:].min() > 2


def test_looked_up_pixels_are_the_computed_ones_to_the_bit():
    photo = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8))
    how = load_recipe("v2").preprocessing.model_copy(update={"fit": "stretch"})
    mean, std = np.float32(how.mean), np.float32(how.std)
    expected = ((np.asarray(photo, np.float32) / np.float32(255) - mean) / std).transpose(2, 0, 1)
    np.testing.assert_array_equal(preprocess(photo, how, 64), expected)
