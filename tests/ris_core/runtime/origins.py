"""Servers that hand out a file as good and bad ones do, one behind TLS with a certificate authority of its own, and a proxy."""

import contextlib
import select
import socket
import socketserver
import ssl
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

CONTENT = bytes(range(256)) * 12_000
"""3 MB: several chunks."""
CUT_AT = 1_100_000
"""Bytes after which a connection is cut."""


class Origin(BaseHTTPRequestHandler):
    """What a path does is its last word: /thing.pth/plain, /…/cut, /…/no-range, …"""

    requests: ClassVar[list[tuple[str, str | None]]] = []
    cuts: ClassVar[dict[str, int]] = {}
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        how = self.path.rpartition("/")[2]
        wanted = self.headers.get("Range")
        self.requests.append((self.path, wanted))
        begin = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted else 0
        if how == "gone":
            self.send_error(404)
            return
        content = CONTENT[::-1] if how == "other" else CONTENT
        status, sent = 200, content
        headers = {"ETag": '"one"', "Content-Disposition": 'attachment; filename="../../evil.pth"'}
        if how == "moved":
            status, sent = 302, b""
            headers["Location"] = "/../..%2f..%2fevil.pth/plain"
        elif how == "page":
            sent = b"<html>Please log in</html>"
        elif how == "packed":
            headers["Content-Encoding"] = "gzip"
        elif begin and how in ("plain", "cut", "always-cut", "shifted", "digits"):
            status = 206
            first = begin if how != "shifted" else begin - 10
            sent = content[first:]
            headers["Content-Range"] = (
                f"bytes {first}-{len(content) - 1}/{'9' * 5000 if how == 'digits' else len(content)}"
            )
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(sent))}.items():
            self.send_header(name, value)
        self.end_headers()
        cuts = self.cuts.get(self.path, 0)
        self.cuts[self.path] = cuts + 1
        if how in ("always-cut", "no-range-cut") or (how in ("cut", "shifted", "no-range", "digits") and not cuts):
            self.wfile.write(sent[:CUT_AT] if not (how == "always-cut" and begin) else b"")
            self.wfile.flush()
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        self.wfile.write(sent)

    def log_message(self, *args: object) -> None:
        """Keep the tests' output clean."""


class _Quiet(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away is no news."""


@contextlib.contextmanager
def serve(certificate: tuple[Path, Path] | None = None) -> Iterator[str]:
    """An origin on loopback, with TLS if it has a certificate and its key; its address."""
    Origin.requests.clear()
    Origin.cuts.clear()
    http = _Quiet(("127.0.0.1", 0), Origin)
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificate)
        http.socket = context.wrap_socket(http.socket, server_side=True)
    threading.Thread(target=http.serve_forever, daemon=True).start()
    try:
        yield f"{'https' if certificate else 'http'}://127.0.0.1:{http.server_port}"
    finally:
        http.shutdown()
        http.server_close()


def make_certificates(folder: Path) -> tuple[Path, tuple[Path, Path]]:
    """A certificate authority, and the certificate and key that it gives to 127.0.0.1."""
    authority, authority_key = folder / "ca.pem", folder / "ca.key"
    certificate, key, request, names = (folder / name for name in ("own.pem", "own.key", "own.csr", "names"))
    names.write_text("subjectAltName=IP:127.0.0.1\n")
    new = ["-newkey", "rsa:2048", "-nodes", "-sha256"]
    ca = ["-x509", "-subj", "/CN=test authority", "-days", "2", "-keyout", authority_key, "-out", authority]
    _openssl("req", *new, *ca, "-addext", "keyUsage=critical,keyCertSign,cRLSign")
    _openssl("req", *new, "-subj", "/CN=127.0.0.1", "-keyout", key, "-out", request)
    signed_by = ["-CA", authority, "-CAkey", authority_key, "-CAcreateserial", "-days", "2"]
    _openssl("x509", "-req", "-in", request, *signed_by, "-extfile", names, "-out", certificate)
    return authority, (certificate, key)


def _openssl(*arguments: object) -> None:
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)


class _Tunnel(socketserver.StreamRequestHandler):
    """One connection through the proxy: CONNECT, then bytes both ways."""

    def handle(self) -> None:
        verb, target, _ = self.rfile.readline().decode().split()
        while self.rfile.readline().strip():
            pass
        self.server.asked.append(f"{verb} {target}")  # type: ignore[attr-defined]  # the server of this handler lists what it was asked
        host, _, port = target.rpartition(":")
        with socket.create_connection((host, int(port))) as upstream:
            self.wfile.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            other = {self.connection: upstream, upstream: self.connection}
            while True:
                for ready in select.select(list(other), [], [])[0]:
                    data = ready.recv(65536)
                    if not data:
                        return
                    other[ready].sendall(data)


class _Proxy(socketserver.ThreadingTCPServer):
    daemon_threads = True
    asked: list[str]


@contextlib.contextmanager
def proxy() -> Iterator[tuple[str, list[str]]]:
    """A proxy on loopback: its address, and the targets that it was asked for."""
    server = _Proxy(("127.0.0.1", 0), _Tunnel)
    server.asked = []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", server.asked
    finally:
        server.shutdown()
        server.server_close()
