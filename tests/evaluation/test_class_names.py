import pytest

from edgekit.errors import UsageError
from edgekit.evaluation.class_names import classes_of, outputs_of
from edgekit.recipe.loading import load_recipe

PETS = "class_names=[ant, bee, cat, dog, elk, fox, gnu]"
SEVEN = ("model.classes=7", "weights.new_head=0")


@pytest.mark.parametrize(("recipe", "background"), [("v2", 0), ("v1_1001", 1)])
@pytest.mark.parametrize("label", ["n01440764", "tench", "Tench", "Tinca tinca", "0"])
def test_a_class_of_imagenet_is_found_by_id_name_and_index(recipe, background, label):
    assert outputs_of([label], load_recipe(recipe)) == {label: background}


def test_a_name_of_two_classes_names_none():
    assert outputs_of(["n02012849", "n03126707"], load_recipe("v2")) == {"n02012849": 134, "n03126707": 517}
    with pytest.raises(UsageError, match="1 of the data set's 1 classes are not classes of v2: missile"):
        outputs_of(["missile"], load_recipe("v2"))


def test_classes_that_do_not_fit_are_refused_by_name():
    labels = ["tench", *(f"thing {number}" for number in range(10)), "1000"]
    with pytest.raises(UsageError) as raised:
        outputs_of(labels, load_recipe("v2"))
    assert "11 of the data set's 12 classes are not classes of v2: 1000, thing 0" in raised.value.failure.message
    assert "and 3 more" in raised.value.failure.message
    assert "ImageNet's" in raised.value.failure.message


def test_a_recipe_names_its_own_classes():
    recipe = load_recipe("v2", (*SEVEN, PETS))
    assert classes_of(recipe).names[2] == "cat"
    assert outputs_of(["cat", "6"], recipe) == {"cat": 2, "6": 6}


@pytest.mark.parametrize("overrides", [SEVEN, ("weights.new_head=0",)])
def test_a_new_head_has_no_names_of_imagenet(overrides):
    with pytest.raises(UsageError, match="a new head, and its recipe does not name its classes") as raised:
        outputs_of(["cat"], load_recipe("v2", overrides))
    assert "class_names" in raised.value.failure.hint


def test_class_names_come_from_a_file_beside_the_recipe(tmp_path):
    written = load_recipe("v2").model_dump_json()
    text = written.replace('"class_names":null', '"class_names":"names.txt"').replace('"classes":1000', '"classes":3')
    (tmp_path / "mine.yaml").write_text(text.replace('"new_head":null', '"new_head":0'))
    (tmp_path / "names.txt").write_text("ant\n\nbee\ncat\n", encoding="utf-8")
    assert load_recipe(str(tmp_path / "mine.yaml")).class_names == ("ant", "bee", "cat")
    (tmp_path / "names.txt").write_text("ant\nbee\n")
    with pytest.raises(UsageError, match=r"names.txt: there are 2 names, and the model has 3 classes"):
        load_recipe(str(tmp_path / "mine.yaml"))
    (tmp_path / "names.txt").unlink()
    with pytest.raises(UsageError, match="cannot be read"):
        load_recipe(str(tmp_path / "mine.yaml"))


def test_an_overriding_path_is_relative_to_the_current_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pets.txt").write_text("\n".join("abcdefg"))
    assert load_recipe("v2", (*SEVEN, "class_names=pets.txt")).class_names == tuple("abcdefg")


@pytest.mark.parametrize(
    ("names", "said"),
    [("[a, b]", "there are 2 names, and the model has 7 classes"), ("[a, b, c, d, e, f, a]", "twice: a")],
)
def test_names_that_do_not_fit_are_refused_with_the_key(names, said):
    with pytest.raises(UsageError, match=rf"key class_names: .*{said}"):
        load_recipe("v2", (*SEVEN, f"class_names={names}"))


@pytest.mark.parametrize(("recipe", "output"), [("ssd_v2_coco", 72), ("ssdlite_v2", 63)])
def test_a_detector_knows_cocos_classes_also_by_vocs_words(recipe, output):
    assert outputs_of(["tv", "tv/monitor", "tvmonitor", "person"], load_recipe(recipe)) == {
        **dict.fromkeys(["tv", "tv/monitor", "tvmonitor"], output),
        "person": 1,
    }


def test_a_segmenter_knows_vocs_classes():
    labels = ["_background_", "aeroplane", "potted plant", "tv/monitor"]
    assert list(outputs_of(labels, load_recipe("deeplabv3_v2_voc")).values()) == [0, 1, 16, 20]
