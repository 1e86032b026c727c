"""Variables that this process drops, as the process itself, its children and the kernel see them."""

import json
import subprocess
import sys

CODE = """\
import json, os, subprocess, sys
from pathlib import Path
from iocmng.loading.own_environment import drop_variables, keep_what_authors_may_see

if sys.argv[1] == "some":
    drop_variables(["IOCMNG_TOKEN", "NOT_THERE"])
else:
    keep_what_authors_may_see(["SITE_*"])
child = subprocess.run(["env"], capture_output=True, text=True, check=True).stdout
print(json.dumps([dict(os.environ), Path("/proc/self/environ").read_text(), child]))
"""

ENVIRONMENT = {
    "IOCMNG_TOKEN": "the-secret",
    "AWS_SECRET_ACCESS_KEY": "the-cloud",
    "SITE_THING": "a=b",
    "PATH": "/usr/bin:/bin",
    "TZ": "Europe/Rome",
    "EMPTY": "",
}


def seen(how):
    done = subprocess.run(
        [sys.executable, "-c", CODE, how], env=ENVIRONMENT, capture_output=True, text=True, check=True, timeout=60
    )
    return json.loads(done.stdout)


def test_what_is_dropped_is_gone_everywhere():
    """From os.environ, from /proc/self/environ, and for children; the rest is whole."""
    own, shown, child = seen("some")
    assert all("the-secret" not in text for text in (str(own), shown, child))
    for text in (shown.replace("\0", "\n"), child):
        assert "SITE_THING=a=b\n" in text
        assert "AWS_SECRET_ACCESS_KEY=the-cloud\n" in text
        assert "TZ=Europe/Rome\n" in text
    assert own["PATH"] == ENVIRONMENT["PATH"]


def test_what_authors_may_see_is_kept():
    """Everything else is dropped in the same way."""
    own, shown, child = seen("all")
    assert {name: own[name] for name in ("SITE_THING", "PATH", "TZ")} == {
        name: ENVIRONMENT[name] for name in ("SITE_THING", "PATH", "TZ")
    }
    for text in (str(own), shown, child):
        assert "the-secret" not in text
        assert "the-cloud" not in text
        assert "EMPTY" not in text
