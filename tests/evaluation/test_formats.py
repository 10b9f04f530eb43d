import json

import pytest

from edgekit.errors import UsageError
from edgekit.evaluation.coco import truths_of
from edgekit.evaluation.datasets import example_hashes, subset_hash
from edgekit.evaluation.formats import load_dataset


@pytest.fixture
def photo(tmp_path):
    """Write a file that passes for a photo: these tests decode none."""

    def write(name, content="pixels"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{content} of {name}")
        return path

    return write


def labelled(dataset):
    return [(example.photo.name, example.label) for example in dataset.examples]


def subset(dataset):
    truths = truths_of(dataset) if dataset.format == "coco" else [example.label for example in dataset.examples]
    return subset_hash(dataset, example_hashes(dataset, truths, 2))


def test_folders_are_classes_and_hidden_files_are_none(tmp_path, photo):
    for name in (
        "n01440764/b.JPEG",
        "n01440764/a.png",
        "goldfish/deep/c.jpg",
        "7/d.jpg",
        "7/._d.jpg",
        ".x/e.jpg",
        "7/f.txt",
    ):
        photo(name)
    (tmp_path / "7/folder.jpg").mkdir()
    dataset = load_dataset(tmp_path)
    assert dataset.format == "folders"
    assert labelled(dataset) == [("d.jpg", "7"), ("c.jpg", "goldfish"), ("a.png", "n01440764"), ("b.JPEG", "n01440764")]
    assert dataset.classes == ("7", "goldfish", "n01440764")


@pytest.mark.parametrize(
    "text",
    [
        "a.jpg,cat\nsub/b.jpg,dog\n",
        "\ufefffilename,label\na.jpg,cat\n\nsub/b.jpg, dog\n",
        "label,x,path\ncat,1,a.jpg\ndog,2,sub/b.jpg\n",
    ],
)
def test_a_csv_file_with_and_without_a_header(tmp_path, text):
    (tmp_path / "my.csv").write_text(text, encoding="utf-8")
    dataset = load_dataset(tmp_path / "my.csv")
    assert (dataset.name, dataset.format) == ("my", "csv")
    assert [(example.photo, example.label) for example in dataset.examples] == [
        (tmp_path / "a.jpg", "cat"),
        (tmp_path / "sub/b.jpg", "dog"),
    ]


def test_a_row_without_a_label_is_named_by_its_line(tmp_path):
    (tmp_path / "my.csv").write_text("file,label\na.jpg,cat\n\nb.jpg,\n")
    with pytest.raises(UsageError, match=r"my.csv, line 4: a photo and its label are needed"):
        load_dataset(tmp_path / "my.csv")


def test_imagenets_validation_photos_have_their_labels_from_the_package(tmp_path, photo):
    for number in (1, 2, 15416):
        photo(f"ILSVRC2012_val_{number:08}.JPEG")
    photo("other.jpg")
    dataset = load_dataset(tmp_path)
    assert dataset.format == "imagenet"
    assert [label for _, label in labelled(dataset)] == ["65", "970", "13"]
    assert dataset.description == "imagenet, 3 photos; 1 photos without a label are left out"


@pytest.fixture
def coco(tmp_path, photo):
    photo("JPEGImages/a.jpg")
    photo("JPEGImages/b.jpg")
    content = {
        "images": [
            {"id": 7, "file_name": "a.jpg", "height": 4, "width": 4},
            {"id": 0, "file_name": "b.jpg", "height": 4, "width": 4},
        ],
        "annotations": [{"id": 0, "image_id": 7, "category_id": 3, "bbox": [0, 0, 1, 1]}],
        "categories": [{"id": 3, "name": "car"}, {"id": 4, "name": "__ignore__"}],
    }
    path = tmp_path / "annotations.json"
    path.write_text(json.dumps(content))
    return path


def test_coco_is_found_in_its_folder_and_names_categories_that_are_used(coco, tmp_path):
    dataset = load_dataset(tmp_path)
    assert dataset.format == "coco"
    assert labelled(dataset) == [("a.jpg", "7"), ("b.jpg", "0")]
    assert dataset.classes == ("car",)
    assert truths_of(dataset) == ['[["car", [0, 0, 1, 1], 0]]', "[]"]
    assert subset(dataset) == subset(load_dataset(coco))


def test_cocos_photos_may_be_elsewhere(coco, tmp_path):
    moved = tmp_path / "elsewhere"
    (tmp_path / "JPEGImages").rename(moved)
    with pytest.raises(UsageError, match=r"not beside it: a\.jpg") as raised:
        load_dataset(coco)
    assert "--images DIR" in raised.value.failure.hint
    assert load_dataset(coco, images=moved).examples[0].photo == moved / "a.jpg"


@pytest.mark.parametrize("change", [("category_id", "category"), ('"image_id": 7', '"image_id": 8')])
def test_broken_coco_is_refused(coco, change):
    broken = coco.with_name("broken.json")
    broken.write_text(coco.read_text().replace(*change))
    with pytest.raises(UsageError, match=r"broken\.json"):
        load_dataset(broken)


@pytest.mark.parametrize("places", [("", ""), ("JPEGImages/", "SegmentationClass/")])
def test_masks_are_beside_photos_or_in_vocs_folders(tmp_path, photo, places):
    photos, masks = places
    photo(f"{photos}a.jpg")
    mask = photo(f"{masks}a.png")
    photo(f"{photos}without.jpg")
    dataset = load_dataset(tmp_path)
    assert dataset.format == "masks"
    assert labelled(dataset) == [("a.jpg", str(mask))]
    assert dataset.left_out == 1


def test_what_is_no_data_set_is_refused_with_the_formats(tmp_path, photo):
    photo("a.jpg")
    photo("b.txt")
    for path in (tmp_path, tmp_path / "b.txt", tmp_path / "nothing"):
        with pytest.raises(UsageError) as raised:
            load_dataset(path)
        assert str(path) in raised.value.failure.message
    with pytest.raises(UsageError, match="read as folders, holds no labelled photo"):
        load_dataset(tmp_path, "folders")


def test_a_format_can_be_forced(coco, tmp_path):
    assert load_dataset(tmp_path, "folders").classes == ("JPEGImages",)


def test_a_subset_is_random_by_its_seed_and_in_order(tmp_path):
    (tmp_path / "my.csv").write_text("".join(f"{number:03}.jpg,{number}\n" for number in range(100)))
    dataset = load_dataset(tmp_path / "my.csv")
    first, again, other = (dataset.sample(10, seed) for seed in (1, 1, 2))
    assert first == again != other
    assert len(set(labelled(first))) == 10
    assert labelled(first) == sorted(labelled(first))
    assert dataset.sample(100, 1) is dataset.sample(None, 1) is dataset


def test_the_hash_is_of_photos_and_labels_and_not_of_names_or_order(tmp_path):
    for name, content in (("a", "1"), ("b", "2"), ("c", "1"), ("d", "2")):
        (tmp_path / f"{name}.jpg").write_text(content)

    def hash_of(text):
        (tmp_path / "my.csv").write_text(text)
        return subset(load_dataset(tmp_path / "my.csv"))

    first = hash_of("a.jpg,cat\nb.jpg,dog\n")
    assert first == hash_of("d.jpg,dog\nc.jpg,cat\n")
    assert first != hash_of("a.jpg,dog\nb.jpg,cat\n")
    assert first != hash_of("a.jpg,cat\nmissing.jpg,dog\n")
