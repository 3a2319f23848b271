"""What a child process sees of the environment: an allow-list. What the SDKs need goes through the pipe instead.

The environment of a process can be read by others of the same user, and lies in its core dumps; a pipe cannot be read.
"""

from __future__ import annotations

from collections.abc import Mapping

_CHILD = frozenset(
    {
        *("PATH", "HOME", "USER", "LOGNAME", "LANG", "LANGUAGE", "TZ", "TZDIR", "TMPDIR"),
        *("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "VIRTUAL_ENV"),
        *("PYTHONPATH", "PYTHONHOME", "PYTHONUTF8", "PYTHONDONTWRITEBYTECODE", "PYTHONPYCACHEPREFIX"),
        "DRORCH_FAILPOINT",
    }
)
_CHILD_PREFIXES = ("LC_",)
_MALLOC = {"MALLOC_ARENA_MAX": "2", "MALLOC_MMAP_THRESHOLD_": str(1024 * 1024)}
"""glibc, mallopt(3): by itself it keeps freed parts of 8 MiB in a heap for each thread, which no other thread uses."""
_SDK = frozenset(
    {
        *("STORAGE_EMULATOR_HOST", "BOTO_CONFIG", "GCE_METADATA_HOST", "GCE_METADATA_IP", "GCE_METADATA_ROOT"),
        *("NO_GCE_CHECK", "GCLOUD_PROJECT"),
        *("IDENTITY_ENDPOINT", "IDENTITY_HEADER", "IMDS_ENDPOINT", "MSI_ENDPOINT", "MSI_SECRET"),
    }
)
_SDK_PREFIXES = ("AWS_", "GOOGLE_", "CLOUDSDK_", "AZURE_", "OS_", "ST_")
_PROXIES = frozenset({"http_proxy", "https_proxy", "all_proxy", "no_proxy"})


def child_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """What a worker gets as its environment: enough to find programs, the package, time zones and certificates."""
    found = {name: value for name, value in environ.items() if name in _CHILD or name.startswith(_CHILD_PREFIXES)}
    return _MALLOC | found


def ambient_sdk_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """What the SDKs read by themselves (credentials, endpoints, proxies): secrets, handed over through the pipe."""
    return {
        name: value
        for name, value in environ.items()
        if name in _SDK or name.startswith(_SDK_PREFIXES) or name.lower() in _PROXIES
    }
