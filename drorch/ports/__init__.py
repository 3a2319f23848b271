"""What the core asks of the world. Adapters implement these; tests/contract says what they mean.

Every method raises only the errors of `drorch.domain.errors`: Refused (and its kinds), Unavailable, OutcomeUnknown.
"""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

from drorch.domain.automated import RegionSeen as RegionSeen
from drorch.domain.kms import KmsKey as KmsKey
from drorch.domain.model import LockMode as LockMode
from drorch.domain.model import ObjectLock as ObjectLock
from drorch.domain.native import Inventory as Inventory
from drorch.domain.native import NativeSnapshot as NativeSnapshot
from drorch.domain.native import PendingCopy as PendingCopy
from drorch.domain.native import SnapshotRoom as SnapshotRoom
from drorch.domain.native import Source as Source
from drorch.domain.native_restore import Made as Made
from drorch.domain.native_restore import NativeRestore as NativeRestore
from drorch.domain.native_restore import RestorePart as RestorePart
from drorch.domain.native_restore import RestoreProgress as RestoreProgress
from drorch.domain.policy import LockRule as LockRule
from drorch.ports.engines import Artefact as Artefact
from drorch.ports.engines import AsksDatabases as AsksDatabases
from drorch.ports.engines import BearsMark as BearsMark
from drorch.ports.engines import Consumer as Consumer
from drorch.ports.engines import DumpSession as DumpSession
from drorch.ports.engines import Engine as Engine
from drorch.ports.engines import ListsDatabases as ListsDatabases
from drorch.ports.engines import ProbeResult as ProbeResult
from drorch.ports.engines import Producer as Producer
from drorch.ports.engines import RestoreTarget as RestoreTarget
from drorch.ports.engines import TellsVersions as TellsVersions
from drorch.ports.snapshots import AutomatedBackups as AutomatedBackups
from drorch.ports.snapshots import CopyOrder as CopyOrder
from drorch.ports.snapshots import CountsCopies as CountsCopies
from drorch.ports.snapshots import CountsSnapshots as CountsSnapshots
from drorch.ports.snapshots import CutOrder as CutOrder
from drorch.ports.snapshots import Everything as Everything
from drorch.ports.snapshots import KmsKeys as KmsKeys
from drorch.ports.snapshots import LocksCopies as LocksCopies
from drorch.ports.snapshots import RestoresSnapshots as RestoresSnapshots
from drorch.ports.snapshots import SharesSnapshots as SharesSnapshots
from drorch.ports.snapshots import SnapshotKind as SnapshotKind
from drorch.ports.snapshots import TellsLocks as TellsLocks
from drorch.ports.steps import AnswersHttp as AnswersHttp
from drorch.ports.steps import LaunchesImages as LaunchesImages
from drorch.ports.steps import LaunchOrder as LaunchOrder
from drorch.ports.steps import RecordOrder as RecordOrder
from drorch.ports.steps import RunningCommand as RunningCommand
from drorch.ports.steps import RunsCommands as RunsCommands
from drorch.ports.steps import SwitchesRecords as SwitchesRecords
from drorch.ports.stores import PART_LENGTH as PART_LENGTH
from drorch.ports.stores import PATH_LENGTH as PATH_LENGTH
from drorch.ports.stores import ObjectInfo as ObjectInfo
from drorch.ports.stores import ObjectStore as ObjectStore
from drorch.ports.stores import ObjectVersion as ObjectVersion
from drorch.ports.stores import PendingUpload as PendingUpload
from drorch.ports.stores import StoreLimits as StoreLimits
from drorch.ports.stores import Upload as Upload
from drorch.ports.stores import check_path as check_path


class Clock(Protocol):
    """The one source of the present. Tests turn theirs by hand."""

    def now(self) -> datetime:
        """The present, aware, UTC."""

    def sleep(self, seconds: float) -> None:
        """Wait; returns early when the process is asked to stop."""
