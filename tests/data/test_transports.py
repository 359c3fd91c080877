import gzip
from importlib import metadata
from pathlib import Path

import pytest

from pipeline.data import transports
from pipeline.data.transports import (
    NotFound,
    Unavailable,
    gunzip,
    read_file,
    read_package,
    read_url,
)

# Longer than a chunk, so that reading goes on after the first; not periodic in its length.
PAYLOAD = bytes(i * i % 251 for i in range(transports.CHUNK + 1_000))


@pytest.mark.parametrize("content", [PAYLOAD, b"", b"a", b"\x1f", b"\x1fa"])
def test_gunzip(content):
    assert gunzip(gzip.compress(content)) == content
    assert gunzip(content) == content


@pytest.mark.parametrize("missing", [1, 8, 1_000])
def test_gunzip_truncated(missing):
    with pytest.raises(Unavailable, match="truncated gzip"):
        gunzip(gzip.compress(PAYLOAD)[:-missing])


@pytest.mark.parametrize("position", [3, 40, -5])  # method, data, checksum
def test_gunzip_damaged(position):
    content = bytearray(gzip.compress(PAYLOAD))
    content[position] ^= 0xFF
    with pytest.raises(Unavailable, match="gzip"):
        gunzip(bytes(content))


def test_read_file(tmp_path):
    (tmp_path / "file").write_bytes(PAYLOAD)
    assert read_file(tmp_path / "file") == PAYLOAD
    with pytest.raises(NotFound, match=r"^not found$"):
        read_file(tmp_path / "other")
    with pytest.raises(NotFound, match=r"^not found$"):
        read_file(tmp_path / "file" / "below")
    with pytest.raises(Unavailable, match="cannot be read: Is a directory"):
        read_file(tmp_path)


def test_read_url(server):
    server.content["/file"] = PAYLOAD
    assert read_url(f"{server.address}/file") == PAYLOAD


def test_read_url_takes_the_bytes_on_the_wire(server):
    # Many servers declare this for a .gz; a client that decodes would store another file.
    server.content["/file.gz"] = gzip.compress(PAYLOAD)
    server.headers["Content-Encoding"] = "gzip"
    assert read_url(f"{server.address}/file.gz") == server.content["/file.gz"]


@pytest.mark.parametrize("status, error", [(404, NotFound), (403, Unavailable), (503, Unavailable)])
def test_read_url_refused(server, status, error):
    server.content["/file"] = status
    with pytest.raises(error, match=f"HTTP {status}"):
        read_url(f"{server.address}/file")


def test_read_url_broken_connection(server):
    server.content["/file"] = PAYLOAD
    server.withheld = 100
    with pytest.raises(Unavailable, match="100 more expected"):
        read_url(f"{server.address}/file")


def test_read_url_stalled_connection(server, monkeypatch):
    monkeypatch.setattr(transports, "READ_TIMEOUT", 0.1)
    server.content["/file"] = PAYLOAD
    server.withheld, server.stalls = 100, True
    with pytest.raises(Unavailable, match="timed out"):
        read_url(f"{server.address}/file")


def test_read_url_nobody_there(server):
    with pytest.raises(Unavailable, match="Connection refused") as caught:
        read_url("http://127.0.0.1:1/file")
    assert not isinstance(caught.value, NotFound)
    assert "\n" not in str(caught.value)


def test_read_url_that_is_none():
    with pytest.raises(Unavailable):
        read_url("http://:0:/file")


def test_read_package(package_index):
    package_index({"fake/data/file": PAYLOAD})
    assert read_package("senn-fake==1.0", "fake/data/file") == PAYLOAD


def test_read_package_without_the_member(package_index):
    package_index({"fake/other": PAYLOAD})
    with pytest.raises(Unavailable, match="has no fake/data/file"):
        read_package("senn-fake==1.0", "fake/data/file")


def test_read_package_that_is_not_published(package_index):
    with pytest.raises(Unavailable, match=r"pip download failed: .*No matching distribution"):
        read_package("senn-fake==2.0", "fake/data/file")


def test_read_package_damaged(package_index):
    wheel = package_index({"fake/data/file": PAYLOAD})
    content = bytearray(wheel.read_bytes())
    content[content.index(PAYLOAD[:100]) + 50] ^= 0xFF
    wheel.write_bytes(content)
    with pytest.raises(Unavailable, match="cannot be unpacked: Bad CRC-32"):
        read_package("senn-fake==1.0", "fake/data/file")


def test_read_package_removes_its_temporary_folder(package_index, tmp_path, monkeypatch):
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    package_index({"fake/data/file": PAYLOAD})
    read_package("senn-fake==1.0", "fake/data/file")
    with pytest.raises(Unavailable):
        read_package("senn-fake==1.0", "fake/other")
    assert not list(scratch.iterdir())


def test_read_package_without_pip(monkeypatch):
    monkeypatch.setattr("sys.executable", "/bin/false")
    with pytest.raises(Unavailable, match="it gave no reason"):
        read_package("senn-fake==1.0", "fake/data/file")


def test_read_package_that_is_installed_needs_no_network(monkeypatch):
    monkeypatch.setattr("sys.executable", "/bin/false")
    version = metadata.version("pytest")
    content = read_package(f"pytest=={version}", "pytest/py.typed")
    assert content == (Path(pytest.__file__).parent / "py.typed").read_bytes()
    with pytest.raises(Unavailable, match="pip download failed"):  # another version is another file
        read_package("pytest==0.0.1", "pytest/py.typed")


def test_read_package_fetches_a_wheel_once(package_index, monkeypatch):
    package_index({"fake/a": b"first", "fake/b": b"second"})
    assert read_package("senn-fake==1.0", "fake/a") == b"first"
    monkeypatch.setattr("sys.executable", "/bin/false")
    assert read_package("senn-fake==1.0", "fake/b") == b"second"


def test_a_length_that_is_no_number_is_the_sources_fault(server):
    server.content["/file"] = PAYLOAD
    server.headers["Content-Length"] = "many"
    with pytest.raises(Unavailable):
        read_url(f"{server.address}/file")
