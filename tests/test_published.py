import csv

from edgekit import published


def paper(model, precision):
    found = published.find(model, "", 1.0, 224, precision)
    return {row.device: row.latency_ms for row in found if published.is_paper_column(row, precision)}


def test_the_columns_are_the_papers_tables_3_and_4():
    assert paper("MobileNetV3-Large", "fp32") == {"Pixel 1": 51, "Pixel 2": 61, "Pixel 3": 44}
    assert paper("MobileNetV3-Large", "int8") == {"Pixel 1": 44, "Pixel 2": 42.5, "Pixel 3": 31.7}
    assert paper("MobileNetV3-Small", "fp32") == {"Pixel 1": 15.8, "Pixel 2": 19.4, "Pixel 3": 14.4}
    assert paper("MobileNetV2", "fp32") == {"Pixel 1": 64, "Pixel 2": 76, "Pixel 3": 56}


def test_nothing_stands_in_for_a_precision_that_nobody_published():
    assert published.find("MobileNetV3-Large", "", 1.0, 224, "fp16") == ()


def test_every_figure_has_a_source():
    rows = published.pixel_latencies()
    assert len(rows) > 150
    assert all(row.source and row.latency_ms > 0 for row in rows)


ACCURACY_ONLY = {
    *(f"EfficientNet-B{number}" for number in range(8)),
    *(f"EfficientNet-EdgeTPU-{size}" for size in "SML"),
    *("VGG16", "resnet18", "resnet34", "ResNet-50", "Xception", "squeezenet1_1", "ShuffleNetV1 g3", "ShuffleNetV2"),
}
"""Names under which accuracy was published, but no latency on a Pixel phone."""


def test_every_published_name_in_a_recipe_is_known():
    from importlib.resources import files

    from edgekit.recipe import known_recipes, load_recipe

    text = (files("edgekit.published") / "pixel_latency.csv").read_text(encoding="utf-8")
    known = {(row["model"], row["variant"]) for row in csv.DictReader(text.splitlines())}
    known |= {(name, "") for name in ACCURACY_ONLY}
    for name in known_recipes():
        published = load_recipe(name).published
        assert (published.model, published.variant) in known, name


def test_what_the_papers_tables_have_is_found_for_the_recipes():
    from edgekit.recipe import load_recipe

    for name in ("v2", "v3_large", "v3_small", "mnasnet_a1", "mnasnet_b1"):
        recipe = load_recipe(name)
        model = recipe.model
        assert published.find(recipe.published.model, recipe.published.variant, model.width, model.resolution, "fp32")
