"""Which variables author's code may see."""

import pytest

from iocmng.core.author_environment import author_environment, check_further, may_be_seen
from iocmng.settings import Settings


@pytest.mark.parametrize("name", ["PATH", "HOME", "LC_ALL", "TZ", "EPICS_CA_ADDR_LIST", "PYTHONPATH", "https_proxy"])
def test_harmless_variables_are_seen(name):
    """Where programs, certificates and IOCs are found, and how texts are written."""
    assert may_be_seen(name)


@pytest.mark.parametrize(
    "name",
    [
        *(f"IOCMNG_{name.upper()}" for name in Settings.model_fields),
        *("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH", "RAY_ADDRESS", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"),
        *("KUBERNETES_SERVICE_HOST", "UV_INDEX_SITE_PASSWORD", "PIP_INDEX_URL", "PGPASSWORD", "GITHUB_TOKEN"),
        *("SSH_AUTH_SOCK", "PYTHONBREAKPOINT", "pathological"),
    ],
)
def test_everything_else_is_not_seen(name):
    """Settings of the server, Ray's own, credentials of clouds and indexes."""
    assert not may_be_seen(name)


def test_the_site_adds_names():
    """Whole ones, and beginnings; never the server's own."""
    environment = {"SITE_A": "1", "SITE_B": "2", "SITES": "3", "ONE": "4", "ONE_MORE": "5", "IOCMNG_TOKEN": "t"}
    assert author_environment(environment, ["SITE_*", "ONE", "IOC*"]) == {"SITE_A": "1", "SITE_B": "2", "ONE": "4"}


@pytest.mark.parametrize("name", ["IOCMNG_TOKEN", "RAY_AUTH_TOKEN", "IOCMNG_*", "RAY_*"])
def test_the_server_s_own_cannot_be_added(name):
    """Not even by name."""
    with pytest.raises(ValueError, match="is the server's own"):
        check_further(name)


@pytest.mark.parametrize("name", ["*", "A B", "1ST", "A*B", "A=B", ""])
def test_what_is_no_name_is_refused(name):
    """The sentence says how it is written."""
    with pytest.raises(ValueError, match="is no name of a variable"):
        check_further(name)
