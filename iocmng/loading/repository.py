"""One commit of a git repository: fetched without a working tree, then written file by file.

There is no checkout, so filters, hooks, attributes, submodules and git's own link handling never come into play: what
lands on the disk has passed the TreeWriter.
"""

from __future__ import annotations

import difflib
import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

import git

from iocmng.core.source import GitSource, is_file_url, refused
from iocmng.errors import PluginRejected, SourceUnavailable
from iocmng.loading.git_access import access_to
from iocmng.loading.git_errors import explain, scrub
from iocmng.loading.git_process import Access, IsolatedRepo, network_environment, run_git
from iocmng.loading.git_tree import write_file, write_tree
from iocmng.loading.local_repository import check_repository, is_repository
from iocmng.loading.places import allowed_directory, repository_path
from iocmng.loading.processes import Deadline, Finished
from iocmng.loading.signatures import SignatureCheck, Verdict, needs_signature
from iocmng.loading.tree import TreeWriter
from iocmng.settings import Settings

_WANTED = "refs/iocmng/wanted"
_TAG = "refs/iocmng/tag"
_FULL_SHA = re.compile(r"[0-9a-f]{40}\Z")
_SHOWN_NAMES = 10
_NO_SUCH_PROGRAM = 127  # of env(1)


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a plugin's files came from.

    Attributes:
        commit: Full SHA; None for a local directory whose files are those of no commit.
        branch: Branch or tag.
        outer_requirements: Copy of the root's requirements.txt, for a plugin in a sub-directory.
        signed_by: Who has signed the commit or the tag; None where that was not checked.
    """

    commit: str | None
    branch: str | None
    outer_requirements: Path | None
    signed_by: str | None = None


def clone(source: GitSource, credential: str | None, workspace: Path, settings: Settings) -> Origin:
    """Write the plugin's directory of one commit to `workspace/files`.

    Raises:
        SourceUnavailable: If the repository cannot be fetched.
        PluginRejected: If it lacks the branch, commit or directory, is not signed as it must be, or holds what must not
            be taken.
    """
    try:
        with access_to(source, credential, settings) as access:
            remote = _Remote(source, credential, access, workspace / "git", settings)
            branch = remote.prepare()
            commit = remote.fetch()
            signer = remote.check_signature(commit) if needs_signature(source, settings) else None
    except subprocess.TimeoutExpired as error:
        raise SourceUnavailable.because(
            f"{source.url} took longer than {settings.fetch_timeout:g} s; try again, or raise IOCMNG_FETCH_TIMEOUT"
        ) from error
    except git.GitCommandNotFound as error:
        raise SourceUnavailable.because("git is not installed on the server") from error
    with IsolatedRepo(remote.directory, expand_vars=False) as repository:
        tree = git.Commit(repository, bytes.fromhex(commit)).tree
        writer = TreeWriter(workspace / "files", settings.fetch_max_bytes, settings.fetch_max_files)
        write_tree(tree, source.path, writer)
        outer = workspace / "outer" / "requirements.txt"
        has_outer = bool(source.path) and write_file(tree, "requirements.txt", outer, settings.fetch_max_files)
    return Origin(commit, branch, outer if has_outer else None, signer)


class _Remote:
    """One remote repository and the bare one that takes what is fetched from it."""

    def __init__(
        self, source: GitSource, credential: str | None, access: Access, directory: Path, settings: Settings
    ) -> None:
        self.directory = directory
        self._source = source
        self._credential = credential.strip() if credential else None
        self._settings = settings
        self._deadline = Deadline.after(settings.fetch_timeout)
        self._address = _address(source.url, settings)
        self._environment = network_environment(self._address, access)
        self._ref = "HEAD"

    def prepare(self) -> str | None:
        """Make the bare repository and see whether the branch is there; return its name."""
        self.directory.mkdir()
        self._run("init", "--quiet", "--bare", "--template=", ".")
        wanted = self._source.branch
        names = ("HEAD",) if wanted is None else (f"refs/heads/{wanted}", f"refs/tags/{wanted}")
        refs = self._refs("--symref", names)
        if wanted is None:
            if "HEAD" not in refs and not self._source.commit:
                raise refused(f"{self._source.url} has no default branch with a commit{self._known_names('')}")
            return refs.get("HEAD", "").removeprefix("refs/heads/") or None
        self._ref = next((name for name in names if name in refs), "")
        if not self._ref:
            raise refused(f"{self._source.url} has no branch or tag {wanted!r}{self._known_names(wanted)}")
        return wanted

    def fetch(self) -> str:
        """Fetch the wanted commit and return its full SHA."""
        commit = self._source.commit
        if commit is None:
            self._require(self._fetch("--depth=1", f"+{self._ref}:{_WANTED}"))
            return self._resolve(_WANTED) or self._no_commit(self._ref)
        if _FULL_SHA.match(commit):
            finished = self._fetch("--depth=1", f"+{commit}:{_WANTED}")
            if finished.returncode == 0:
                return self._resolve(_WANTED) or self._no_commit(commit)
            if "not our ref" in finished.stderr:
                return self._no_commit(commit)
        # An abbreviated SHA, or a server that gives out branches and tags only: fetch those with their history.
        everything = ("+refs/heads/*:refs/iocmng/heads/*", "+refs/tags/*:refs/iocmng/tags/*")
        self._require(self._fetch("--update-shallow", *everything))
        return self._resolve(commit) or self._no_commit(commit)

    def check_signature(self, commit: str) -> str:
        """Return who has signed the commit, or else the tag that was asked for and names it.

        Raises:
            PluginRejected: If neither carries a signature by an allowed key.
        """
        check = SignatureCheck(self.directory, self._deadline, self._settings)
        verdict = check.commit(commit)
        if verdict.signer:
            return verdict.signer
        problem = f"commit {commit[:12]} {verdict.problem}"
        if self._ref.startswith("refs/tags/"):
            self._require(self._fetch("--depth=1", f"+{self._ref}:{_TAG}"))
            name = self._ref.removeprefix("refs/tags/")
            tagged = check.tag(_TAG, name) if self._resolve(_TAG) == commit else Verdict(problem="names another commit")
            if tagged.signer:
                return tagged.signer
            problem += f", and tag {name} {tagged.problem}"
        raise refused(
            f"{self._source.url}: {problem}; sign it (`git commit -S`, or `git tag -s` and give the tag as `branch`) "
            "with a key that IOCMNG_ALLOWED_SIGNERS or IOCMNG_GPG_HOME of this server names"
        )

    def _fetch(self, how: str, *refs: str) -> Finished:
        quiet = ("--quiet", "--no-tags", "--no-recurse-submodules", "--no-write-fetch-head")
        return self._run("fetch", *quiet, how, "--", self._address, *refs, require=False)

    def _refs(self, option: str, patterns: tuple[str, ...]) -> dict[str, str]:
        """Return the remote's refs; the value is what a symbolic one leads to, else empty."""
        refs: dict[str, str] = {}
        for line in self._run("ls-remote", "--quiet", option, "--", self._address, *patterns).stdout.splitlines():
            target, _, name = line.partition("\t")
            refs[name] = target.removeprefix("ref: ") if target.startswith("ref: ") else refs.get(name, "")
        return refs

    def _known_names(self, wanted: str) -> str:
        """Return the end of a sentence that names the branches and tags there are."""
        names = [ref.split("/", 2)[2] for ref in self._refs("--refs", ("refs/heads/*", "refs/tags/*"))]
        if not names:
            return "; the repository is empty"
        close = difflib.get_close_matches(wanted, names, n=1)
        more = ", …" if len(names) > _SHOWN_NAMES else ""
        known = f"there are {', '.join(names[:_SHOWN_NAMES])}{more}"
        return f"; did you mean {close[0]!r}? ({known})" if close else f"; set `branch` ({known})"

    def _resolve(self, name: str) -> str | None:
        """Return the full SHA of a commit that was fetched, if the name means exactly one."""
        arguments = ("rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")
        finished = self._run(*arguments, require=False)
        return finished.stdout.strip() if finished.returncode == 0 else None

    def _no_commit(self, name: str) -> str:
        raise refused(
            f"{self._source.url} has no commit {name!r}, or several that begin so; give all 40 digits of one that is "
            "on a branch"
        )

    def _run(self, *arguments: str, require: bool = True) -> Finished:
        finished = run_git(
            arguments,
            self.directory,
            self._deadline,
            environment=self._environment,
            watch=self._check_size,
            largest_file=self._settings.fetch_max_bytes + 1,
        )
        return self._require(finished) if require else finished

    def _require(self, finished: Finished) -> Finished:
        if finished.returncode == 0:
            return finished
        if finished.returncode == _NO_SUCH_PROGRAM:
            raise git.GitCommandNotFound("git", finished.stderr)
        sentence = explain(finished.stderr, self._credential)
        raise SourceUnavailable.because(scrub(f"cannot fetch {self._source.url}: {sentence}", self._credential))

    def _check_size(self) -> None:
        """Stop a fetch that brings more than a plugin may have."""
        limit = self._settings.fetch_max_bytes
        if _size(self.directory) > limit:
            raise self._too_large(limit)

    def _too_large(self, limit: int) -> PluginRejected:
        return refused(
            f"{self._source.url} sends more than {limit} bytes; keep data out of the repository, give all 40 digits of "
            "a commit (its history is not fetched then), or raise IOCMNG_FETCH_MAX_BYTES"
        )


def _address(url: str, settings: Settings) -> str:
    """Return what git is given as the repository: the URL, or the real path of one on this machine."""
    if not is_file_url(url):
        return url
    directory = allowed_directory(repository_path(url), settings, "git_url")
    if not directory.is_dir() or not is_repository(directory):
        raise SourceUnavailable.because(f"there is no repository at {url}; check git_url")
    check_repository(directory, settings)
    return str(directory)


def _size(directory: Path) -> int:
    """Return the bytes below a directory whose files come and go."""
    total = 0
    for here, _, files in os.walk(directory):
        for name in files:
            try:
                total += os.lstat(f"{here}/{name}").st_size
            except FileNotFoundError:
                continue
    return total
