"""Names of our actors in Ray."""

NAMESPACE = "iocmng"
CONTROLLER_NAME = "iocmng-controller"
PROCESS_PREFIX = "iocmng-plugin-"
"""Before the random name of each plugin's process."""
