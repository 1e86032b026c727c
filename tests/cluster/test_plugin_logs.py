"""The log of a plugin on a real server: what is in it, who can follow it, and what is left of a process that died."""

from __future__ import annotations

from log_follower import followed
from support import Server, caput, wait_for

TALKER = """\
import logging
import os
import sys

from iocmng import TaskBase

print("printed while it is imported")


class Talker(TaskBase):
    def initialize(self):
        self.logger.info("generation of {word}\\n2026-01-01 ERROR forged \\x1b[2J")
        print("printed", end=" ")
        print("in two parts")
        print("for stderr", file=sys.stderr)
        logging.getLogger("some.library").warning("a library warns")

    def execute(self):
        pass

    def on_write(self, pv_name, value):
        for number in range(3):
            self.logger.error("last words %d", number)
        os._exit(3)

    def cleanup(self):
        self.logger.info("ends")
"""
CONFIG = "parameters: {interval: 0.2}\npvs:\n  inputs:\n    DIE: {type: int}\n"


def files(word: str) -> dict[str, str]:
    """Return the files of a plugin that says this word."""
    return {"p.py": TALKER.replace("{word}", word), "config.yaml": CONFIG}


def lines(server: Server, name: str = "talker") -> list[str]:
    """Return the lines of a plugin's log, as GET shows them."""
    return server.http.get(f"/plugins/{name}/logs?tail=1000").raise_for_status().json()["lines"]


def test_a_followed_log_goes_on_over_a_replacement_and_a_death(server: Server) -> None:
    """Prints and warnings are in it, no text forges a line, generations are told, and so are the last words."""
    assert server.add("talker", files("one"), kind="tasks").status_code == 201
    with followed(server, "talker") as (found, reader):
        wait_for(lambda: any("a library warns" in line for line in found), "the first lines")
        assert found[0] == "--- generation 1"
        words = [line.partition(",")[2][4:] for line in found[1:] if not line.startswith(" ")]
        assert words == [
            "INFO generation of one",
            "INFO printed in two parts",
            "WARNING for stderr",
            "WARNING a library warns",
        ]
        assert "    2026-01-01 ERROR forged \\x1b[2J" in found
        server.repository("talker", files("two"))
        assert server.http.post("/plugins/talker/restart").status_code == 200
        wait_for(lambda: any("generation of two" in line for line in found), "the new version's lines")
        place = found.index("--- generation 2")
        assert any(line.endswith("INFO ends") for line in found[:place])
        assert any("generation of two" in line for line in found[place:])
        kill(server, "talker")
        wait_for(lambda: server.get("talker")["restarts"] == 2, "it is up again")
        wait_for(lambda: sum("generation of two" in line for line in found) == 2, "it is followed again")
        # The line that tells who has written the PV may stand anywhere among those that the put has caused.
        told = [line.partition(",")[2][4:] for line in found if "DIE written by" not in line]
        place = told.index("ERROR last words 0")
        assert told[place : place + 3] == [f"ERROR last words {number}" for number in range(3)]
        assert told[place + 3].startswith("ERROR its process has ended: ")
        own = [line for line in found if not line.startswith((" ", "---"))]
        assert len(own) == len(set(own)), "a line came twice"
        assert "last words 2" in "\n".join(lines(server))
        assert server.http.delete("/plugins/talker").status_code == 200
        reader.join(20)
        assert not reader.is_alive(), "the answer goes on though the plugin is gone"


def test_why_a_new_version_does_not_start_is_in_the_log(server: Server) -> None:
    """What it logged before it failed stands there with its generation, and the old version's lines go on."""
    assert server.add("talker", files("one"), kind="tasks").status_code == 201
    broken = TALKER.replace("{word}", "broken").replace('        print("printed", end=" ")', "        os._exit(4)")
    server.repository("talker", {"p.py": broken, "config.yaml": CONFIG})
    assert server.http.post("/plugins/talker/restart").status_code == 422
    page = server.http.get("/plugins/talker/logs?tail=1000").json()
    generations = {g for line, g in zip(page["lines"], page["generations"], strict=True) if "of broken" in line}
    assert generations == {2}


def kill(server: Server, name: str) -> None:
    """Have the plugin end its own process, in the middle of a write."""
    caput(f"{server.prefix}:{name.upper()}:DIE", 1)
