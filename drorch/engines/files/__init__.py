"""Files of this host: dumped as one tar stream (POSIX.1-2001, pax), restored into a folder of their own."""

from drorch.engines.files.engine import FilesEngine
from drorch.engines.files.into import RestoreOptions
from drorch.engines.files.options import Options

__all__ = ["FilesEngine", "Options", "RestoreOptions"]
