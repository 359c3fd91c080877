"""A copy of the working folder, to rerun stages without touching the original."""

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from ruamel.yaml import YAML

from pipeline.core.errors import PipelineError

CACHE = ".dvc/cache"


@dataclass(frozen=True)
class Copy:
    """A copy, in `folder`, of a working folder's files that Git does not ignore, and DVC's cache.

    Results are compared with the commit `revision`; `is_fresh` means that nothing has been computed
    in the original yet.
    """

    folder: Path
    revision: str
    is_fresh: bool

    @classmethod
    def of(cls, original: Path, folder: Path) -> "Copy":
        """Copy the working folder `original`, including uncommitted changes.

        Raises
        ------
        PipelineError
            If `original` is not a Git checkout, or `folder` cannot be written or is not empty.
        """
        try:
            _git(original, "clone", "--quiet", "--no-checkout", str(original), str(folder))
            _git(folder, "reset", "--quiet")
            copy_files(original, folder)
            if (original / CACHE).is_dir():
                shutil.copytree(original / CACHE, folder / CACHE, copy_function=_link)
        except OSError as error:
            raise PipelineError(
                f"cannot copy {original} to {folder}: {error.strerror or error}"
            ) from error
        revision = _git(folder, "rev-parse", "--short", "HEAD").decode().strip()
        return cls(folder, revision, is_fresh=not (folder / CACHE).is_dir())

    def committed(self, path: str) -> dict[str, bytes]:
        """Content by path of the committed file `path`, or of all files in that folder."""
        listed = _git(self.folder, "ls-tree", "-r", "-z", "--name-only", "HEAD", path)
        names = filter(None, listed.decode().split("\0"))
        return {name: _git(self.folder, "show", f"HEAD:{name}") for name in names}

    def present(self, path: str) -> dict[str, bytes]:
        """The same for the files in the copy."""
        place = self.folder / path
        files = [place] if place.is_file() else sorted(p for p in place.rglob("*") if p.is_file())
        return {file.relative_to(self.folder).as_posix(): file.read_bytes() for file in files}

    def locks(self) -> tuple[dict[str, str], dict[str, str]]:
        """MD5 of every out by path: of the committed dvc.lock, and of the copy's."""
        committed = self.committed("dvc.lock").get("dvc.lock", b"")
        return _outs(committed), _outs((self.folder / "dvc.lock").read_bytes())

    def cached(self, md5: str) -> bytes | None:
        """The content with this MD5, None if DVC's cache does not have it."""
        path = self.folder / CACHE / "files/md5" / md5[:2] / md5[2:]
        return path.read_bytes() if path.is_file() else None


def copy_files(original: Path, folder: Path) -> None:
    """Copy to `folder` what Git has or would have of the working folder `original`."""
    listed = _git(original, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    for name in filter(None, listed.decode().split("\0")):
        if (original / name).is_file():  # otherwise it was deleted without a commit
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(original / name, folder / name)


def _outs(lock: bytes) -> dict[str, str]:
    stages = (YAML(typ="safe", pure=True).load(lock) or {}).get("stages", {})
    return {out["path"]: out["md5"] for stage in stages.values() for out in stage.get("outs", ())}


def _link(source: str, target: str) -> None:
    """Hard-link `target` to the file `source`, or copy it if that is impossible."""
    try:
        os.link(source, target)  # DVC replaces files in its cache, and never writes into one
    except OSError:
        shutil.copy2(source, target)


def _git(folder: Path, *arguments: str) -> bytes:
    done = subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, check=False)
    if done.returncode:
        raise PipelineError(
            f"git {arguments[0]} in {folder}: {done.stderr.decode(errors='replace').strip()}"
        )
    return done.stdout
