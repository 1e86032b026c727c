"""Where release 2.x had DeclarativeTask; today's place is `from iocmng import DeclarativeTask`."""

from iocmng.base.declarative import DeclarativeTask

__all__ = ["DeclarativeTask"]
