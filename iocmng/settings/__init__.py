"""All settings, in one frozen object that a composition root builds once and passes on.

Sources, the first that has a value wins: flags, the environment (IOCMNG_…), the YAML file that IOCMNG_CONFIG names.
"""

from iocmng.settings.loading import load_settings
from iocmng.settings.model import Settings
from iocmng.settings.values import default_plugins_dir, is_loopback
from iocmng.settings.yaml_file import read_yaml

__all__ = ["Settings", "default_plugins_dir", "is_loopback", "load_settings", "read_yaml"]
