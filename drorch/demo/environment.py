"""This process's variables while the demo runs: a person's own clouds, proxies and databases are out of reach."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

_FOREIGN = ("AWS_", "GOOGLE_", "CLOUDSDK_", "GCLOUD_", "GCE_", "AZURE_", "OS_", "PG", "DRORCH_", "STORAGE_EMULATOR_")
_PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "ftp_proxy")


@contextmanager
def environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Take away what leads elsewhere and set `variables`; everything is as before at the end.

    Entered before an SDK is imported: some look at the environment at once (moto makes a session of AWS_PROFILE).
    """
    before = dict(os.environ)
    for name in before:
        if name.startswith(_FOREIGN) or name.lower() in _PROXIES:
            del os.environ[name]
    os.environ.update(variables)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
