"""The one place where the version stands."""

__version__ = "3.0.0.dev0"
