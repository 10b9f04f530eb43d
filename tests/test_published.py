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


def test_every_published_name_in_a_recipe_is_known():
    from edgekit.recipe import known_recipes, load_recipe

    for name in known_recipes():
        recipe = load_recipe(name)
        model = recipe.model
        found = published.find(recipe.published.model, recipe.published.variant, model.width, model.resolution, "fp32")
        assert found, name
