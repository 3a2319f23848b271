"""The stock tools that read a bucket of Google Cloud Storage."""

from __future__ import annotations

from drorch.domain.guide import FOLDER, INTO, StockTool, base


def tools(bucket: str, prefix: str) -> tuple[StockTool, ...]:
    """gcloud (https://cloud.google.com/sdk/gcloud/reference/storage/cp), and gsutil where that is too old."""
    where = f"gs://{bucket}/{base(prefix)}{FOLDER}"
    needs = "`gcloud auth login`, as somebody who may list and read the bucket"
    return (
        StockTool("gcloud", f"gcloud storage ls {where}", f"gcloud storage cp --recursive {where}'*' {INTO}/", needs),
        StockTool("gsutil", f"gsutil ls {where}", f"gsutil -m cp -r {where}'*' {INTO}/", needs),
    )
