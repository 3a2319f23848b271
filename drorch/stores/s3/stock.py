"""The stock tools that read a bucket of S3, or of a service that speaks its API."""

from __future__ import annotations

from shlex import quote

from drorch.domain.guide import FOLDER, INTO, StockTool, base


def tools(bucket: str, prefix: str, region: str, endpoint: str) -> tuple[StockTool, ...]:
    """The AWS command line (https://docs.aws.amazon.com/cli/latest/reference/s3/)."""
    where = f"s3://{bucket}/{base(prefix)}{FOLDER}"
    place = f"--region {quote(region)}"
    place += f" --endpoint-url {quote(endpoint)}" if endpoint else ""
    needs = "`aws configure`, with a key that may list and read the bucket"
    return (StockTool("aws", f"aws s3 ls {where} {place}", f"aws s3 cp --recursive {where} {INTO}/ {place}", needs),)
