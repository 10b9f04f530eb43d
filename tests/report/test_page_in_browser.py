"""The page in headless Chromium, offline: what people see, and what they reach by mouse, keyboard and phone."""

import shutil
from collections import Counter
from dataclasses import dataclass, replace

import pytest
import small_ledger
import synthetic_ledger
from fetched import missing
from operator_profiles import profile
from playwright.sync_api import sync_playwright

from edgekit.ledger import Ledger
from edgekit.measure.operators import stored
from edgekit.report.filters import Filters
from edgekit.report.page import page as page_text
from edgekit.report.rows import rows_of
from edgekit.selection.choosing import choose
from edgekit.selection.question import Question

SPEC = synthetic_ledger.Spec(
    recipes=8,
    targets=(*synthetic_ledger.TARGETS, "coreml/-/fp16", "tflite/gpu/fp16"),
    devices=2,
    failures=0.1,
    interfered=0.05,
    seed=5,
)
DOTS = "#accuracy-plot .dots_marks path"


@dataclass
class Made:
    """A page on disk, and the ledger that it is made from."""

    path: str
    ledger: Ledger


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("page")
    with Ledger.open(f"sqlite:///{folder}/ledger.sqlite") as ledger:
        synthetic_ledger.write(ledger, SPEC)
        text = page_text(ledger, rows_of(ledger), Filters())
        (folder / "page.html").write_text(text, encoding="utf-8")
        yield Made(f"file://{folder}/page.html", ledger)


@pytest.fixture(scope="module")
def browser():
    program = shutil.which("chromium")
    if not program:
        missing("chromium is not there: run `make lab-deps`")
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield launched
        launched.close()


@pytest.fixture
def visit(browser):
    """Open a page offline; at the end nothing was asked of a network, and the console is silent."""
    contexts, complaints = [], []

    def opened(path, **options):
        context = browser.new_context(offline=True, **({"viewport": {"width": 1280, "height": 900}} | options))
        contexts.append(context)
        tab = context.new_page()
        tab.on("console", lambda message: complaints.append(message.text))
        tab.on("pageerror", lambda error: complaints.append(str(error)))
        tab.on(
            "request",
            lambda request: complaints.extend([] if request.url.startswith(("file:", "data:")) else [request.url]),
        )
        tab.goto(path)
        tab.wait_for_selector("html[data-ready]", timeout=20_000)
        return tab

    yield opened
    for context in contexts:
        context.close()
    assert complaints == []


@pytest.fixture
def tab(visit, made):
    return visit(made.path)


def texts(tab, selector):
    return tab.locator(selector).all_text_contents()


def first_device(made):
    """Return the device that the plots show at first: the most measured one."""
    counts = Counter(one.device_id for one in made.ledger.measurements(latest=True))
    return max(sorted(made.ledger.devices(), key=lambda device: device.name), key=lambda device: counts[device.id])


def int8_on_first_device(made):
    device = first_device(made)
    return next(
        one
        for one in made.ledger.measurements(latest=True)
        if (one.device_id, one.target) == (device.id, "tflite/xnnpack/int8")
    )


def medians(tab):
    return [float(text.split()[0]) for text in texts(tab, "#tables td[data-key=latency_ms_measured]") if text != "–"]  # noqa: RUF001


def test_the_table_shows_the_ledgers_latencies(tab, made):
    tab.get_by_role("button", name="Show all").click()
    measured = made.ledger.measurements(latest=True)
    assert sorted(medians(tab)) == sorted(float(f"{one.summary['median']:.2f}") for one in measured)
    one = measured[0]
    row = tab.locator(f"#tables tr[data-id='{one.id}']")
    assert row.locator("td[data-key=target]").inner_text() == one.target
    assert row.locator("td[data-key=latency_ms_measured]").inner_text().startswith(f"{one.summary['median']:.2f} [")


def test_the_plot_has_every_measurement_of_the_device(tab, made):
    for device in made.ledger.devices():
        tab.locator("#answer select.device").select_option(device.id)
        own = [one for one in made.ledger.measurements(latest=True) if one.device_id == device.id]
        assert tab.locator(DOTS).count() == len(own)
        front = {
            one.latencies[0].measurement_id
            for one in choose(made.ledger, Question(devices=(device.id,))).candidates
            if one.on_front
        }
        drawn = tab.evaluate("views.get('accuracy-plot').data('front').map((point) => point.id)")
        assert set(drawn) == front


def test_the_slider_recommends_what_select_does(tab, made):
    device = first_device(made)
    slider = tab.locator("#budget")
    recommended = f"#answers li[data-device='{device.id}'] .model"
    seen = set()
    for position in (150, 400, 650, 900):
        slider.fill(str(position))
        budget = tab.evaluate("state.budget")
        assert tab.locator("#budget-text").inner_text().startswith(f"{budget:.3g}"[:3])
        spans = [one for one in choose(made.ledger, Question(devices=(device.id,))).budgets if one.from_ms <= budget]
        assert spans, "the budget is under that of every model"
        document = choose(made.ledger, Question(devices=(device.id,)))
        expected = document.candidates[spans[-1].id]
        assert tab.locator(recommended).inner_text() == f"{expected.recipe} {expected.variant} {expected.target}"
        seen.add(expected.title)
    assert len(seen) > 1
    slider.fill("0")
    assert "No model is that fast" in tab.locator("#answers").inner_text()


def test_filters_narrow_the_table_and_the_plot(tab, made):
    tab.locator("#only-target").select_option("tflite/xnnpack/int8")
    recipe = int8_on_first_device(made).recipe
    tab.locator("#search").fill(recipe)
    device = first_device(made)
    own = [
        one
        for one in made.ledger.measurements(latest=True)
        if (one.recipe, one.target) == (recipe, "tflite/xnnpack/int8")
    ]
    assert own and sorted(medians(tab)) == sorted(float(f"{one.summary['median']:.2f}") for one in own)
    tab.wait_for_function(
        f"document.querySelectorAll('{DOTS}').length === {sum(one.device_id == device.id for one in own)}"
    )
    tab.get_by_role("button", name="Reset").click()
    tab.wait_for_function(f"document.querySelectorAll('{DOTS}').length > 8")
    assert tab.locator("#count").inner_text().startswith(f"{len(rows_of(made.ledger))} rows")
    tab.locator("#search").fill("no such network")
    assert tab.locator("#count").inner_text().startswith("0 of ")
    assert "passes the filters" in tab.locator("#accuracy-caption").inner_text()


def test_headings_sort_by_number_both_ways(tab):
    heading = tab.locator("#tables th[data-key=latency_ms_measured]")
    tab.get_by_role("button", name="Show all").click()
    heading.get_by_role("button").click()
    assert heading.get_attribute("aria-sort") == "ascending"
    assert medians(tab) == sorted(medians(tab))
    heading.get_by_role("button").click()
    assert heading.get_attribute("aria-sort") == "descending"
    assert medians(tab) == sorted(medians(tab), reverse=True)
    assert texts(tab, "#tables td[data-key=latency_ms_measured]")[-1] == "–"  # noqa: RUF001  (failed: last in both)


def test_a_click_on_a_point_opens_its_measurement(tab, made):
    one, device = int8_on_first_device(made), first_device(made)
    tab.locator("#search").fill(f"{one.recipe} tflite int8")
    tab.wait_for_function(f"document.querySelectorAll('{DOTS}').length === 1")
    tab.locator(DOTS).click()
    detail = tab.locator("#detail")
    assert detail.locator("#detail-title").inner_text() == f"{one.recipe} 1.0/224 tflite/xnnpack/int8"
    text = detail.inner_text()
    assert f"{one.summary['median']:.2f} [" in text and one.evidence in text
    assert f"--target {one.target} --device {device.name} --protocol 1t-big" in text
    detail.locator("#session-plot svg").wait_for()
    centres = tab.evaluate(f"page.details[{one.id}].centres")
    assert centres == pytest.approx([session.centre_ns / 1e6 for session in made.ledger.sessions(one.id)], rel=1e-5)
    detail.get_by_text("Conditions", exact=False).click()
    assert "before.temperature_c" in detail.inner_text()


def focused(tab):
    return tab.evaluate(
        "document.activeElement.id || document.activeElement.className || document.activeElement.tagName"
    )


def test_everything_is_reached_by_keyboard(tab):
    reached = []
    for _ in range(40):
        tab.keyboard.press("Tab")
        reached.append(focused(tab))
    for stop in ("budget", "device-name", "model", "accuracy-plot", "search", "only-target"):
        assert any(stop in one for one in reached), stop
    tab.locator("#budget").focus()
    tab.keyboard.press("Home")
    assert "ms" in tab.locator("#budget-text").inner_text()
    assert "ms" in tab.locator("#budget").get_attribute("aria-valuetext")
    tab.locator("#tables th[data-key=size_bytes] button").focus()
    tab.keyboard.press("Enter")
    assert tab.locator("#tables th[data-key=size_bytes]").get_attribute("aria-sort") == "ascending"
    tab.locator("#tables tbody button.open").first.focus()
    tab.keyboard.press("Enter")
    assert tab.locator("#detail").is_visible()
    tab.keyboard.press("Escape")
    assert not tab.locator("#detail").is_visible()
    assert focused(tab) == "open"


def test_arrow_keys_move_through_the_plot(tab):
    tab.locator("#accuracy-plot").focus()
    tab.keyboard.press("ArrowRight")
    tab.keyboard.press("ArrowRight")
    said = tab.locator("#said").inner_text()
    second = tab.evaluate("accuracyPoints()[1]")
    assert said.startswith(f"{second['title']}, {second['target']}: {second['latency_text']}")
    tab.keyboard.press("Enter")
    assert tab.locator("#detail-title").inner_text() == f"{second['title']} {second['target']}"
    tab.keyboard.press("Escape")
    assert focused(tab) == "accuracy-plot"


def wider_than_the_window(tab):
    return tab.evaluate("document.documentElement.scrollWidth > window.innerWidth")


def test_a_phone_never_scrolls_sideways(visit, made):
    tab = visit(made.path, viewport={"width": 390, "height": 844}, is_mobile=True, has_touch=True)
    assert not wider_than_the_window(tab)
    for id in ("accuracy-plot", "size-plot", "cost-plot"):
        assert tab.locator(f"#{id} svg").bounding_box()["width"] <= 390
    tab.locator("#answers .model").first.tap()
    tab.locator("#session-plot svg").wait_for()
    assert not wider_than_the_window(tab)
    box = tab.locator("#detail").bounding_box()
    assert box["x"] >= 0 and box["x"] + box["width"] <= 390
    assert tab.evaluate(
        "document.getElementById('detail').scrollWidth <= document.getElementById('detail').clientWidth"
    )


@pytest.mark.parametrize("width", [390, 760, 1280])
def test_no_legend_is_cut_off(visit, made, width):
    tab = visit(made.path, viewport={"width": width, "height": 900})
    assert_whole_legends(tab)
    tab.set_viewport_size({"width": 1650 - width, "height": 900})
    tab.wait_for_timeout(500)  # the plots wait for the end of a resize
    assert_whole_legends(tab)


def assert_whole_legends(tab):
    for id in ("accuracy-plot", "size-plot", "cost-plot"):
        box = tab.locator(f"#{id} svg").bounding_box()
        labels = tab.locator(f"#{id} .role-legend-label text")
        assert labels.count() == len(SPEC.targets)
        for label in labels.all():
            own = label.bounding_box()
            assert own["y"] + own["height"] <= box["y"] + box["height"] + 1
            assert own["x"] + own["width"] <= box["x"] + box["width"] + 1


def test_multiply_adds_that_mislead_are_named(tab):
    taus = [float(text) for text in texts(tab, "#orders td:nth-child(3)")]
    text = tab.locator("#orders").inner_text()
    assert taus and ("Multiply-adds mislead here" in text) is any(tau < 0.8 for tau in taus)


def colour(tab, name):
    return tab.evaluate(f"getComputedStyle(document.body).{name}")


def brightness(rgb):
    return sum(int(part) for part in rgb[4:-1].split(","))


def test_dark_and_print_have_their_own_colours(visit, made):
    light, dark = visit(made.path, color_scheme="light"), visit(made.path, color_scheme="dark")
    assert brightness(colour(light, "backgroundColor")) > brightness(colour(light, "color"))
    assert brightness(colour(dark, "backgroundColor")) < brightness(colour(dark, "color"))
    dark.emulate_media(media="print")
    assert brightness(colour(dark, "backgroundColor")) > brightness(colour(dark, "color"))
    assert not dark.locator("#filters").is_visible()
    assert dark.locator("#accuracy-plot svg").is_visible() and dark.locator("#tables table").is_visible()


def test_plots_and_controls_have_names(tab):
    for id in ("accuracy-plot", "size-plot", "cost-plot"):
        assert "latency" in tab.locator(f"#{id} svg").get_attribute("aria-label")
    nameless = tab.evaluate(
        "[...document.querySelectorAll('select, input, button')]"
        ".filter((one) => !one.hidden && !(one.labels && one.labels.length) && !one.textContent.trim()).length"
    )
    assert nameless == 0


def test_hostile_names_are_shown_as_they_are(visit, made, tmp_path):
    evil = "</script><img src=x onerror=alert(1)>"
    rows = [replace(row, recipe=evil) if row.recipe == "net03" else row for row in rows_of(made.ledger)]
    (tmp_path / "evil.html").write_text(page_text(made.ledger, rows, Filters()), encoding="utf-8")
    tab = visit(f"file://{tmp_path}/evil.html")
    tab.locator("#search").fill("onerror")
    tab.locator(DOTS).first.hover()
    assert tab.locator("img").count() == 0
    assert evil in tab.locator("#tables tbody").inner_text()
    tab.locator("#tables button.open").first.click()
    assert evil in tab.locator("#detail-title").inner_text()
    assert tab.locator("img").count() == 0


def test_published_accuracies_are_named_in_the_plot(visit, tmp_path):
    with Ledger.open(f"sqlite:///{tmp_path}/published.sqlite") as ledger:
        run = ledger.begin_run("profile", 0, {"name": "1t-big"}, {})
        for recipe, milliseconds in (("v2", 60.0), ("v3_large", 44.0)):
            small_ledger.measure(ledger, run, recipe, small_ledger.FP32, milliseconds)
        (tmp_path / "page.html").write_text(page_text(ledger, rows_of(ledger), Filters()), encoding="utf-8")
    tab = visit(f"file://{tmp_path}/page.html")
    assert tab.locator("#accuracy-title").inner_text() == "Accuracy (top-1, published) and latency"
    caption = tab.locator("#accuracy-caption").inner_text()
    assert "published ones" in caption and "edgekit evaluate" in caption
    assert "% (published)" in tab.locator("#answers").inner_text()


def test_random_weights_are_marked(visit, made, tmp_path):
    rows = [
        replace(row, manifest={**row.manifest, "weights": "random(0)"}) if row.summary else row
        for row in rows_of(made.ledger)
    ]
    (tmp_path / "random.html").write_text(page_text(made.ledger, rows, Filters()), encoding="utf-8")
    tab = visit(f"file://{tmp_path}/random.html")
    assert "Train it before you ship it" in tab.locator("#answers").inner_text()
    assert "random weights: latency is valid, accuracy is not" in tab.locator("#accuracy-caption").inner_text()
    tab.locator("#answers .model").first.click()
    assert "The weights are random" in tab.locator("#detail").inner_text()


@pytest.mark.parametrize("width", [390, 1280])
def test_a_measurement_with_a_profile_shows_the_time_by_layer(width, visit, tmp_path):
    with Ledger.open(f"sqlite:///{tmp_path}/ledger.sqlite") as ledger:
        run = ledger.begin_run("deploy", 0, {"name": "1t-big"}, {})
        found = {"operators": stored(profile(12))}
        id = small_ledger.measure(ledger, run, "v2", small_ledger.FP32, 60.0, **found)
        (tmp_path / "page.html").write_text(page_text(ledger, rows_of(ledger), Filters()), encoding="utf-8")
    tab = visit(f"file://{tmp_path}/page.html", viewport={"width": width, "height": 844})
    tab.evaluate(f"openDetail({id})")
    plot = tab.locator("#layer-plot svg")
    plot.wait_for()
    assert plot.get_attribute("aria-label") == "Share of time of 25 layers; the slowest is odd with 29 %."
    bars = tab.locator("#layer-plot .mark-rect.role-mark path")
    assert bars.count() == 2 * 25
    widths = tab.evaluate("[document.documentElement.scrollWidth, document.getElementById('detail').scrollWidth]")
    assert widths[0] <= width
    assert widths[1] <= tab.evaluate("document.getElementById('detail').clientWidth")
