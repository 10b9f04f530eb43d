import pytest
import small_ledger

from edgekit.errors import UsageError
from edgekit.published import figures
from edgekit.published.paper_tables import PAPER_TABLES, paper_table
from edgekit.report.against import Check, against_report
from edgekit.report.output import FORMATS, rendered
from edgekit.report.rows import rows_of

TABLE3 = "mobilenetv3-table3"


@pytest.fixture
def rows(ledger):
    run = small_ledger.fill(ledger)
    small_ledger.measure(ledger, run, "v2", small_ledger.INT8, 25, published_as="Pixel 1")
    return rows_of(ledger)


def checks(rows, table, device):
    report = against_report(rows, paper_table(table))
    return [
        check
        for section in report.filled
        for check in section.items
        if isinstance(check, Check) and check.figure.device == device
    ]


@pytest.mark.parametrize(
    ("name", "devices", "count"),
    [
        (TABLE3, {"Pixel 1", "Pixel 2", "Pixel 3"}, 27),
        ("mobilenetv3-table4", {"Pixel 1", "Pixel 2", "Pixel 3"}, 12),
        ("mobilenetv3-table6", {"Pixel 1"}, 11),
        ("mobilenetv3-table7", {"Pixel 3"}, 22),
        ("mobilenetv2-table4", {"Pixel 1"}, 4),
        ("mobilenetv2-table6", {"Pixel 1"}, 2),
        ("efficientnet-lite", {"Pixel 4"}, 10),
    ],
)
def test_the_published_tables(name, devices, count):
    table = paper_table(name)
    assert {figure.device for figure in table.figures} == devices
    assert len(table.figures) == count


def test_every_table_has_latencies_and_an_unknown_one_lists_them():
    assert all(table.figures for table in PAPER_TABLES.values())
    with pytest.raises(UsageError, match="no published table mobilenetv4") as error:
        paper_table("mobilenetv4")
    assert TABLE3 in error.value.failure.hint


def test_figures_of_several_threads_are_in_no_other_column():
    assert {figure.threads for figure in figures()} == {1}
    assert {figure.threads for figure in paper_table("efficientnet-lite").figures} == {4}


def test_a_ratio_is_measured_over_published_with_the_measured_interval(rows):
    found = [
        one for one in checks(rows, TABLE3, "Pixel 1") if one.row and one.row.recipe == "v3_large" and one.row.summary
    ]
    assert {round(one.ratios[0], 3) for one in found} == {round(44.11 / 51, 3), round(48.4484 / 51, 3)}
    assert found[0].ratios[1] < found[0].ratios[0] < found[0].ratios[2]


def test_networks_that_were_not_measured_stay_in_the_table(rows):
    found = {check.figure.model: check for check in checks(rows, TABLE3, "Pixel 3") if check.row is None}
    assert {"MnasNet-A1", "Proxyless (mobile)"} <= set(found)


def test_the_device_class_says_whether_the_phone_is_the_published_one(rows):
    classes = {check.device_class for check in checks(rows, "mobilenetv3-table4", "Pixel 1") if check.row}
    assert classes == {"same model", "other device"}
    assert "other device" in {
        check.device_class for check in checks(rows, "mobilenetv3-table4", "Pixel 2") if check.row
    }


def test_other_sources_of_the_same_figure_are_named(rows):
    (v2,) = [
        check
        for check in checks(rows, TABLE3, "Pixel 1")
        if (check.figure.model, check.figure.width) == ("MobileNetV2", 1.0) and check.row.device_id[0] == "a"
    ]
    assert sorted(v2.others) == [73.8, 75, 78]
    text = " ".join(rendered(against_report(rows, paper_table(TABLE3)), "markdown").split())
    assert "73.8 (tensorflow/models research/slim" in text
    assert "Known mismatch: MobileNetV3-Large 0.75 on Pixel 2/3" in text


def test_the_order_of_a_device_is_compared_with_each_column(rows):
    orders = {
        (check.figure.device, check.row.device_id[0]): check.order
        for check in against_report(rows, paper_table(TABLE3)).filled[-1].items
    }
    assert orders["Pixel 1", "a"].tau == 1
    assert (orders["Pixel 1", "a"].same, orders["Pixel 1", "a"].networks) == (3, 3)


@pytest.mark.parametrize("format", FORMATS)
def test_every_format_holds_the_check(rows, format):
    text = rendered(against_report(rows, paper_table(TABLE3)), format)
    for part in ("MnasNet-A1", "not measured", "Pixel 3", "0.94"):
        assert part in text


@pytest.mark.parametrize("width", [80, 100, 200])
def test_the_check_fits_a_terminal(rows, width):
    text = rendered(against_report(rows, paper_table(TABLE3)), "terminal", width)
    assert max(map(len, text.splitlines())) <= width
    assert "[60.00, 60.30]" in text
