"""Fixtures of all tests."""

import os

from support import LOOPBACK

os.environ.update(LOOPBACK)
# What a test says of settings must not depend on who runs it.
for _name in [name for name in os.environ if name.startswith("IOCMNG_")]:
    del os.environ[_name]
