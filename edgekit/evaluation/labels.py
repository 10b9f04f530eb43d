"""What people read for the metrics of an evaluation."""

LABELS = {"top1": "top-1 %", "top5": "top-5 %", "map": "mAP 50:95 %", "map50": "mAP 50 %", "miou": "mIoU %"}
"""Metric -> its name with its unit."""
