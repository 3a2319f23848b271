"""The stock tools that read a container of a Swift. `region` is "" where the catalogue has but one."""

from __future__ import annotations

from shlex import quote

from drorch.domain.guide import FOLDER, INTO, StockTool, base


def tools(container: str, prefix: str, region: str) -> tuple[StockTool, ...]:
    """python-swiftclient (https://docs.openstack.org/python-swiftclient/latest/cli/), and plain HTTP."""
    name = f"{base(prefix)}{FOLDER}"
    swift = f"swift --os-region-name {quote(region)}" if region else "swift"
    token, url = '-H "X-Auth-Token: $TOKEN"', f'"$STORAGE_URL"/{container}'
    listing = f"curl -fsS {token} {url}?prefix={name}"
    one = f'curl -fsS {token} --create-dirs -o {INTO}/"${{name#"$prefix"}}" {url}/"$name"'
    return (
        StockTool(
            "swift",
            f"{swift} list {container} --prefix {name}",
            f"{swift} download {container} --prefix {name} --remove-prefix --output-dir {INTO}",
            "the variables of your OpenStack's RC file (`OS_AUTH_URL`, ...), or `ST_AUTH`, `ST_USER`, `ST_KEY`",
        ),
        StockTool(
            "curl",
            listing,
            f"prefix={name}; {listing} | while read -r name; do {one}; done",
            "`STORAGE_URL` and `TOKEN`, as `swift auth` or your provider's console gives them",
        ),
    )
