"""iocmng: an IOC manager for EPICS. This module is the author's API and loads neither Ray nor EPICS."""

from iocmng._version import __version__
from iocmng.base.declarative import DeclarativeTask
from iocmng.base.job import JobBase, JobResult
from iocmng.base.task import TaskBase
from iocmng.core import pv_client
from iocmng.errors import Cancelled, ItemFailed, PermanentError, TemporaryError

__all__ = [
    "Cancelled",
    "DeclarativeTask",
    "ItemFailed",
    "JobBase",
    "JobResult",
    "PermanentError",
    "TaskBase",
    "TemporaryError",
    "__version__",
    "pv_client",
]
