"""The stock tools that read a container of Azure Blob Storage."""

from __future__ import annotations

from drorch.domain.guide import FOLDER, INTO, StockTool, base


def tools(account_name: str, container: str, prefix: str) -> tuple[StockTool, ...]:
    """AzCopy (https://learn.microsoft.com/azure/storage/common/storage-ref-azcopy-copy) and the Azure command line
    (https://learn.microsoft.com/cli/azure/storage/blob), which keeps the folders of what it brings.
    """
    where = f"https://{account_name}.blob.core.windows.net/{container}/{base(prefix)}{FOLDER}"
    place = f"--account-name {account_name} --auth-mode login"
    listing = f"az storage blob list {place} --container-name {container} --query '[].name' --output tsv"
    batch = f"az storage blob download-batch {place} --source {container} --destination {INTO}"
    name = f"{base(prefix)}{FOLDER}"
    return (
        StockTool(
            "azcopy",
            f"azcopy list {where}",
            f"azcopy copy {where}'*' {INTO}/ --recursive",
            "`azcopy login`, as somebody who may list and read the container",
        ),
        StockTool(
            "az",
            f"{listing} --prefix {name}",
            f"{batch} --pattern {name}'*' && mv {INTO}/{name}* {INTO}/",
            "`az login`, as somebody who may list and read the container",
        ),
    )
