""".dvc/plots.html, the page that `dvc plots` draws on, with Vega in it: no plot needs a network.

DVC's own page loads Vega from a content delivery network. ``python -m documentation.plots_page``
takes the same libraries from npm, each pinned with the SHA-256 of its script, and needs `npm` and a
network once. To take other versions, change `LIBRARIES`.
"""

import hashlib
import subprocess
import tarfile
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from pipeline.core.errors import PipelineError
from pipeline.core.files import write_bytes

PAGE = Path(".dvc/plots.html")


class Library(NamedTuple):
    """An npm package, whose script is ``build/<name>.min.js``."""

    name: str
    version: str
    sha256: str


# DVC's templates are Vega-Lite 5's, which runs on Vega 5.
LIBRARIES = (
    Library("vega", "5.33.0", "a71f14828abacac82fbe8adb07ce65cbb82561d8eef188053c4a1c09e0164dcb"),
    Library(
        "vega-lite", "5.23.0", "58c27358e26f2d319cf62f45bc17a4c8362f08645001df2ec8d341eee4097c7f"
    ),
    Library(
        "vega-embed", "6.29.0", "12d02acfbe3ec59ef9a37dd4822a2e04e2961b5bbb671bbe661d2221715b99da"
    ),
)

# DVC fills in {refresh_tag} and {plot_divs}; without {scripts}, its links to the network stay out.
_TOP = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
{refresh_tag}
<title>Plots</title>
<style>
body { font-family: sans-serif; margin: 1rem; }
</style>
"""
_BOTTOM = """</head>
<body>
{plot_divs}
</body>
</html>
"""


def page(scripts: Sequence[str], licences: Sequence[str]) -> str:
    """The page, of the scripts of `LIBRARIES` and their licences."""
    parts = (
        f"<!-- {library.name} {library.version}\n\n{licence}\n-->\n<script>{script}</script>\n"
        for library, script, licence in zip(LIBRARIES, scripts, licences, strict=True)
    )
    return _TOP + "".join(parts) + _BOTTOM


def _fetch(library: Library, folder: Path) -> tuple[str, str]:
    """Script and licence of `library`, downloaded to `folder`."""
    name = f"{library.name}@{library.version}"
    subprocess.run(["npm", "pack", "--silent", name], cwd=folder, check=True, capture_output=True)
    with tarfile.open(folder / f"{library.name}-{library.version}.tgz") as archive:
        members = (f"package/build/{library.name}.min.js", "package/LICENSE")
        script, licence = (archive.extractfile(member) for member in members)
        assert script is not None and licence is not None
        content = script.read()
        if (found := hashlib.sha256(content).hexdigest()) != library.sha256:
            raise PipelineError(f"{name}: the script's SHA-256 is {found}, not {library.sha256}")
        return content.decode("utf-8"), licence.read().decode("utf-8")


if __name__ == "__main__":
    with TemporaryDirectory() as folder:
        fetched = [_fetch(library, Path(folder)) for library in LIBRARIES]
    scripts, licences = zip(*fetched, strict=True)
    write_bytes(PAGE, page(scripts, licences).encode())
