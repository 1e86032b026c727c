"""A job that tells what its process may do, and tries to do more."""

PROBE_JOB = '''\
import errno
import os
import pathlib
import resource
import stat
import subprocess
import sys
import tempfile

from iocmng import JobBase

AT_IMPORT = {"cwd": os.getcwd(), "uid": os.getuid(), "environment": dict(os.environ)}


def status(field):
    for line in pathlib.Path("/proc/thread-self/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return line.split()[1:]


def look(path):
    """Return what can be read there, or the error."""
    try:
        if pathlib.Path(path).is_dir():
            return sorted(os.listdir(path))
        return pathlib.Path(path).read_bytes().decode(errors="replace")[:100_000]
    except OSError as error:
        return errno.errorcode[error.errno]


def tell(_=None):
    return {
        "environment": AT_IMPORT["environment"],
        "proc": look("/proc/self/environ"),
        "parent": look(f"/proc/{os.getppid()}/environ"),
        "cwd": AT_IMPORT["cwd"],
        "cwd_mode": stat.S_IMODE(os.stat(".").st_mode),
        "temporary": tempfile.gettempdir(),
        "umask": status("Umask"),
        "uid": AT_IMPORT["uid"],
        "groups": os.getgroups(),
        "pid": os.getpid(),
        "no_new_privileges": status("NoNewPrivs"),
        "threads": status("Threads"),
        "data": int(status("VmData")[0]),
        "limits": {name: resource.getrlimit(getattr(resource, name))[0]
                   for name in ("RLIMIT_DATA", "RLIMIT_NOFILE", "RLIMIT_NPROC")},
    }


def allocate(mib):
    held = []
    for _ in range(mib):
        held.append(bytearray(1024 * 1024))
    return len(held)


class Probe(JobBase):
    def initialize(self):
        pass

    def execute(self):
        what, argument = self.parameters["do"], self.parameters.get("argument")
        return {"got": getattr(self, what)(argument)}

    def tell(self, _):
        return tell()

    def look(self, paths):
        return {path: look(path) for path in paths}

    def write(self, name):
        pathlib.Path(name).write_text("something")
        return stat.S_IMODE(os.stat(name).st_mode)

    def where(self, _):
        return __file__

    def mapped(self, _):
        return self.map(tell, [1])

    def mapped_allocation(self, mib):
        return self.map(allocate, [mib])

    def allocate(self, mib):
        return allocate(mib)

    def open_files(self, number):
        held = [open("/dev/null") for _ in range(number)]
        return len(held)

    def start(self, number):
        """Start processes; end them again if one cannot be started."""
        self.held = []
        try:
            for _ in range(number):
                self.held.append(subprocess.Popen(["sleep", "600"]))
        except OSError:
            for each in self.held:
                each.kill()
                each.wait()
            raise
        return [each.pid for each in self.held]

    def start_apart(self, _):
        """Start a process that is nobody's child and in a session of its own."""
        code = (
            "import subprocess; from subprocess import DEVNULL as no; "
            "print(subprocess.Popen(['sleep', '600'], start_new_session=True, stdout=no, stderr=no).pid)"
        )
        return int(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)
'''


def probe(config=""):
    """Return the files of the job."""
    return {"probe.py": PROBE_JOB} | ({"config.yaml": config} if config else {})


def do(server, name, what, argument=None, timeout=120):
    """Have a probe do something; return what became of the run."""
    body = {"parameters": {"do": what, "argument": argument}}
    answer = server.http.post(f"/jobs/{name}/run", json=body, timeout=timeout)
    assert answer.status_code < 300, answer.text
    return answer.json()


def got(answer):
    """Return what a probe has brought back."""
    assert answer["ok"], answer
    return answer["result"]["data"]["got"]
