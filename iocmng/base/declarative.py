"""DeclarativeTask: a task whose behaviour stands in config.yaml."""

from __future__ import annotations

from iocmng.base.task import TaskBase


class DeclarativeTask(TaskBase):
    """A task without code of its own: derive from it, and leave the class empty."""

    def initialize(self) -> None:
        """Do nothing."""

    def execute(self) -> None:
        """Do nothing beyond what config.yaml says."""

    def cleanup(self) -> None:
        """Do nothing."""
