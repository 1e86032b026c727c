"""plugins.yaml of 2.x is read as it is: keys, defaults and places that its manual and the dashboard's launchers use."""

from pathlib import Path

from iocmng.loading.plugins_file import read_plugins_file

MANUAL = """\
plugins:
  - name: beam-monitor
    git_url: https://git.example.org/lab/tasks.git
    path: tasks/monitor
    branch: main
    pat: secret
    auto_start: true
    auto_start_on_boot: true
    autostart_order: 10
    parameters: {threshold: 80.0}
  - name: daily-report
    git_url: https://git.example.org/lab/jobs.git
    auto_start: false
    autostart_order: "2"
  - name: local-dev
    local_path: /srv/my-plugin
    branch: main
    auto_start: true
  - name: generated
    path: tasks/generated
    branch: main
"""


def test_what_the_manual_and_launchers_say(tmp_path: Path):
    """Every entry is taken, in its order; `branch` is no mistake where there is no repository."""
    file = tmp_path / "plugins.yaml"
    file.write_text(MANUAL)
    requests, problems = read_plugins_file(file)
    assert problems == []
    assert [request.name for request in requests] == ["daily-report", "beam-monitor", "generated", "local-dev"]
    by_name = {request.name: request for request in requests}
    assert (by_name["local-dev"].local_path, by_name["local-dev"].branch) == ("/srv/my-plugin", None)
    assert (by_name["generated"].local_path, by_name["generated"].path) == (str(tmp_path / "tasks/generated"), "")
    assert by_name["beam-monitor"].branch == "main"
    assert by_name["beam-monitor"].pat is not None
