"""Execute the report's notebook, with the same bytes for the same results, and export it."""

import base64
import copy
import json
import os
import re
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from html import escape
from pathlib import Path
from typing import Any

import nbformat
import papermill
from jupyter_client.kernelspec import NoSuchKernel
from nbclient.exceptions import CellTimeoutError, DeadKernelError
from nbconvert import HTMLExporter, TemplateExporter
from nbformat import NotebookNode
from papermill.exceptions import PapermillExecutionError
from traitlets.config import Config

from pipeline.core.errors import PipelineError
from pipeline.reporting.page import finished

_KERNEL = "running-interpreter"
_TEMPLATES = Path(__file__).parent
_WIDTH = 450  # pixels, of a linked figure: figures are 4.5 inches wide, at 100 pixels an inch
_CODE = Path(__file__).parents[2]  # the folder from which this package is imported


def execute(template: Path, parameters: Mapping[str, Any], folder: Path) -> NotebookNode:
    """Execute `template` with `parameters` in `folder`, in a kernel of the running interpreter.

    Returns
    -------
    The executed notebook, without what changes from run to run: timestamps, durations, random ids.
    Its cells' stderr (warnings) goes to this process's stderr instead of the notebook.

    Raises
    ------
    PipelineError
        If the template cannot be read, a cell fails, or the kernel does not start or dies.
    """
    with tempfile.TemporaryDirectory() as scratch:
        output = Path(scratch, "executed.ipynb")
        try:
            with _kernel(Path(scratch)):
                papermill.execute_notebook(
                    str(template),
                    str(output),
                    parameters=dict(parameters),
                    kernel_name=_KERNEL,
                    language="python",
                    cwd=str(folder),
                    progress_bar=False,
                    request_save_on_cell_execute=False,  # but once, at the end
                    start_timeout=120,
                    config=Config({"KernelManager": {"transport_encryption": "auto"}}),
                )
        except PapermillExecutionError as error:
            is_ours = error.ename == "PipelineError"
            reason = error.evalue if is_ours else f"{error.ename}: {error.evalue}"
            *_, line = error.source.strip().splitlines()
            raise PipelineError(
                f"{template}: cell {error.cell_index} ({line}) failed: {reason}"
            ) from error
        except (NoSuchKernel, DeadKernelError, CellTimeoutError, RuntimeError) as error:
            raise PipelineError(
                f"{template}: the notebook's kernel ({sys.executable} -m ipykernel_launcher) "
                f"failed: {error}"
            ) from error
        except (OSError, nbformat.reader.NotJSONError, nbformat.ValidationError) as error:
            raise PipelineError(f"cannot execute {template}: {error}") from error
        executed = nbformat.read(output, as_version=4)
    _pass_on_stderr(executed)
    return _stripped(executed)


def as_text(notebook: NotebookNode) -> str:
    """`notebook` as the text of an .ipynb file, with sorted keys: equal content, equal text."""
    return json.dumps(notebook, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def to_html(notebook: NotebookNode) -> str:
    """`notebook` as one self-contained page with contents and links, without code or prompts."""
    exporter = _PageExporter(
        template_name="page_template",
        extra_template_basedirs=[str(_TEMPLATES)],
        exclude_anchor_links=True,
    )
    resources = {"title": _title(notebook)}
    for name in ("page.css", "page.js"):
        resources[name] = (_TEMPLATES / "page_template" / name).read_text(encoding="utf-8")
    page, _ = exporter.from_notebook_node(notebook, resources)
    page = re.sub(r"\n{3,}", "\n\n", page)
    return finished(page)


class _PageExporter(HTMLExporter):
    """Without HTMLExporter's pass over the finished page, which takes seconds and alters it."""

    def from_notebook_node(  # type: ignore[override]  # as HTMLExporter's
        self, nb: NotebookNode, resources: dict[str, Any] | None = None, **kw: Any
    ) -> tuple[str, dict[str, Any]]:
        return TemplateExporter.from_notebook_node(self, nb, resources, **kw)


def figures(notebook: NotebookNode) -> dict[str, bytes]:
    """The PNG figures of `notebook`, by name.

    Raises
    ------
    ValueError
        If two figures have the same name.
    """
    by_name: dict[str, bytes] = {}
    for output, about in _pictures(notebook):
        if about["name"] in by_name:
            raise ValueError(f"two figures are called {about['name']}")
        by_name[about["name"]] = base64.b64decode(output.data["image/png"])
    return by_name


def with_links(notebook: NotebookNode, folder: str) -> NotebookNode:
    """A copy of `notebook` that shows its figures from the files in `folder`, beside it.

    Of what needs the page's script it keeps the plain text.
    """
    linked = copy.deepcopy(notebook)
    for cell in _code_cells(linked):
        for output in cell.outputs:
            if output.get("metadata", {}).get("text/html", {}).get("needs_script"):
                del output.data["text/html"]
                output.metadata = NotebookNode()
    for output, about in _pictures(linked):
        source, alt = escape(f"{folder}/{about['name']}.png"), escape(about["alt"])
        image = f'<img src="{source}" alt="{alt}" width="{_WIDTH}">'
        caption = f"<figcaption>{escape(about['caption'])}</figcaption>"
        figure = f'<figure id="figure-{about["name"]}">{image}{caption}</figure>'
        output.data = NotebookNode({"text/html": figure, "text/plain": about["alt"]})
        output.metadata = NotebookNode()
    return linked


@contextmanager
def _kernel(scratch: Path) -> Iterator[None]:
    """Make the running interpreter a Jupyter kernel within the context.

    Does not depend on installed kernelspecs; the kernel can import this package.
    """
    spec = {
        "argv": [
            sys.executable,
            # Otherwise the debugger, unused here, warns about frozen modules.
            "-Xfrozen_modules=off",
            # tqdm, which captum imports, warns that it cannot draw in a notebook.
            "-Wignore:IProgress not found",
            "-m",
            "ipykernel_launcher",
            "--IPKernelApp.log_level=CRITICAL",  # at shutdown it logs the interrupt as an error
            "-f",
            "{connection_file}",
        ],
        "display_name": "Python 3",
        "language": "python",
        # Encrypted where the libraries can; otherwise they warn about plain text.
        "metadata": {"supported_encryption": ["curve"]},
    }
    home = scratch / "jupyter" / "kernels" / _KERNEL
    home.mkdir(parents=True)
    (home / "kernel.json").write_text(json.dumps(spec), encoding="utf-8")
    search = [str(scratch / "jupyter"), os.environ.get("JUPYTER_PATH", "")]
    environment = {
        "JUPYTER_PATH": os.pathsep.join(filter(None, search)),
        "JUPYTER_PLATFORM_DIRS": "1",
        "JUPYTER_RUNTIME_DIR": str(scratch / "runtime"),  # the home may be read-only
        "IPYTHONDIR": str(scratch / "ipython"),  # without the user's startup files
        "MPLBACKEND": "agg",
        "PYTHONHASHSEED": "0",
        "PYTHONPATH": os.pathsep.join(
            filter(None, [str(_CODE.absolute()), os.environ.get("PYTHONPATH", "")])
        ),
    }
    before = dict(os.environ)
    os.environ.update(environment)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _pass_on_stderr(notebook: NotebookNode) -> None:
    for cell in _code_cells(notebook):
        for output in list(cell.outputs):
            if output.output_type == "stream" and output.name == "stderr":
                sys.stderr.write(output.text)
                cell.outputs.remove(output)


def _stripped(notebook: NotebookNode) -> NotebookNode:
    notebook.metadata = NotebookNode(
        kernelspec={"display_name": "Python 3", "language": "python", "name": "python3"},
        language_info={"name": "python"},
    )
    for index, cell in enumerate(notebook.cells):
        cell.id = f"cell-{index:02d}"
        tags = cell.metadata.get("tags", [])
        cell.metadata = NotebookNode(tags=tags) if tags else NotebookNode()
    return notebook


def _code_cells(notebook: NotebookNode) -> list[NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def _pictures(notebook: NotebookNode) -> Iterator[tuple[NotebookNode, NotebookNode]]:
    """Every output that is a figure, and its metadata from `Picture`."""
    for cell in _code_cells(notebook):
        for output in cell.outputs:
            about = output.get("metadata", {}).get("image/png", {})
            if "name" in about:
                yield output, about


def _title(notebook: NotebookNode) -> str:
    for cell in notebook.cells:
        if cell.cell_type == "markdown" and (match := re.match(r"# (.+)", cell.source)):
            return match[1].strip()
    raise ValueError("the notebook has no title: no cell starts with `# …`")
