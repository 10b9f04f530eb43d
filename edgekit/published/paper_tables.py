"""Tables of papers and READMEs whose latencies a report can be held against."""

from __future__ import annotations

from dataclasses import dataclass

from edgekit.errors import UsageError, did_you_mean
from edgekit.published.figures import Figure, figures, threaded_figures

V3, V2 = "arXiv:1905.02244v5", "arXiv:1801.04381"
SLIM = "tensorflow/models research/slim/nets/mobilenet/README.md"
LITE = "tensorflow/tpu models/official/efficientnet/lite/README.md"


@dataclass(frozen=True)
class PaperTable:
    """A published table: `table` as our files of figures name it, empty if the source numbers none."""

    name: str
    title: str
    source: str
    table: str = ""

    @property
    def figures(self) -> tuple[Figure, ...]:
        """Its latencies."""
        return tuple(
            figure
            for figure in (*figures(), *threaded_figures())
            if figure.latency_ms and figure.table == self.table and figure.source.startswith(self.source)
        )


PAPER_TABLES = {
    table.name: table
    for table in (
        PaperTable("mobilenetv3-table3", "MobileNetV3 paper, Table 3 (float)", V3, "3 (v5)"),
        PaperTable("mobilenetv3-table4", "MobileNetV3 paper, Table 4 (quantized)", V3, "4 (v5)"),
        PaperTable("mobilenetv3-table6", "MobileNetV3 paper, Table 6 (SSDLite)", V3, "6 (v5)"),
        PaperTable("mobilenetv3-table7", "MobileNetV3 paper, Table 7 (segmentation)", V3, "7 (v5)"),
        PaperTable("mobilenetv3-table9", "MobileNetV3 paper, Table 9 (widths and resolutions)", V3, "9 (v5)"),
        PaperTable("mobilenetv2-table4", "MobileNetV2 paper, Table 4", V2, "4"),
        PaperTable("mobilenetv2-table6", "MobileNetV2 paper, Table 6 (SSDLite)", V2, "6"),
        PaperTable("slim-mobilenet", "TF-Slim's README of MobileNetV2 and V3", SLIM),
        PaperTable("efficientnet-lite", "EfficientNet-Lite's README (4 threads)", LITE),
    )
}


def paper_table(name: str) -> PaperTable:
    """Return the table of this name; UsageError with all names if there is none."""
    if name not in PAPER_TABLES:
        hint = did_you_mean(name, PAPER_TABLES)
        every = f"Tables: {', '.join(PAPER_TABLES)}."
        raise UsageError(
            f"There is no published table {name}.", every if hint.startswith("Known") else f"{hint} {every}"
        )
    return PAPER_TABLES[name]
