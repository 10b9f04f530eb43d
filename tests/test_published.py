from edgekit import published


def paper(model, precision):
    found = published.find(model, width=1.0, resolution="224", precision=precision)
    return {row.device: row.latency_ms for row in found if published.is_paper_column(row, precision) and row.latency_ms}


def test_the_columns_are_the_papers_tables_3_and_4():
    assert paper("MobileNetV3-Large", "fp32") == {"Pixel 1": 51, "Pixel 2": 61, "Pixel 3": 44}
    assert paper("MobileNetV3-Large", "int8") == {"Pixel 1": 44, "Pixel 2": 42.5, "Pixel 3": 31.7}
    assert paper("MobileNetV3-Small", "fp32") == {"Pixel 1": 15.8, "Pixel 2": 19.4, "Pixel 3": 14.4}
    assert paper("MobileNetV2", "fp32") == {"Pixel 1": 64, "Pixel 2": 76, "Pixel 3": 56}


def test_nothing_stands_in_for_a_precision_that_nobody_published():
    assert published.find("MobileNetV3-Large", width=1.0, resolution="224", precision="fp16") == ()


def test_every_figure_has_a_source_and_says_something():
    rows = published.figures()
    assert len(rows) > 800
    assert all(row.source and (row.accuracy or row.latency_ms) for row in rows)


def test_where_sources_disagree_all_are_returned():
    found = published.find("EfficientNet-B0", width=1.0, resolution="224", precision="fp32")
    assert {76.3, 77.1} <= {row.accuracy for row in found}


def test_heads_and_their_variants_are_told_apart():
    def pixel(model, head, resolution, variant=""):
        found = published.find(model, variant, head=head, width=1.0, resolution=resolution, precision="fp32")
        return {(row.device, row.latency_ms, row.accuracy) for row in found if published.is_paper_column(row, "fp32")}

    assert pixel("MobileNetV3-Large", "SSDLite", "320") == {("Pixel 1", 137, 22.0)}
    assert pixel("MobileNetV3-Large", "SSDLite", "320", "reduced") == {("Pixel 1", 119, 22.0)}
    rf2 = "reduced, 128 filters, output stride 16"
    assert pixel("MobileNetV3-Small", "LR-ASPP", "1024x2048", rf2) == {("Pixel 3", 1210, 68.38)}
    assert pixel("MobileNetV3-Small", "LR-ASPP", "512x1024", rf2) == {("Pixel 3", 327, None)}
    (half,) = published.find("MobileNetV2", head="SSDLite", width=0.5, resolution="320", precision="fp32")[:1]
    assert half.accuracy == 16.6


def test_wrong_printed_figures_are_listed_with_advice():
    (found,) = [row for row in published.mismatches() if row["what"] == "MobileNetV2 1.4 params"]
    assert "6.11M" in found["advice"]


def test_every_published_name_in_a_recipe_is_known():
    from edgekit.recipe.loading import known_recipes, load_recipe

    for name in known_recipes():
        recipe = load_recipe(name)
        if recipe.published:
            _, resolution, *_ = recipe.model.variant.split("/")
            key = {**recipe.published.model_dump(), "width": recipe.model.width, "resolution": resolution}
            assert any(published.find(**key, precision=precision) for precision in ("fp32", "int8")), name


def test_figures_of_one_network_do_not_stand_beside_another():
    from edgekit.recipe.loading import load_recipe

    assert load_recipe("v2", ("model.width=0.5", "weights={random: 0}")).published
    assert load_recipe("v2").changed({"depth": 2.0}).published is None
    assert load_recipe("v2", ("model.depth=2.0", "weights={random: 0}")).published is None
