"""A git server over HTTPS on loopback: git's own ``http-backend`` behind a certificate made for the occasion.

It serves one repository of task definitions that holds what a client must not fall for: a filter for every file, a
submodule, a symbolic link out of the repository and a file in LFS; and it redirects some requests.
"""

from __future__ import annotations

import contextlib
import datetime
import ipaddress
import os
import ssl
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

NAME = "tasks.git"
LFS_POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n"
SUBMODULE = "1" * 40
AUTHOR = {f"GIT_{who}_{what}": "t@example.com" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}


def git(place: Path, *arguments: str) -> str:
    """Run git without the configuration of this machine and return what it said."""
    environment = {"PATH": os.environ["PATH"], "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull, **AUTHOR}
    done = subprocess.run(["git", *arguments], cwd=place, env=environment, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def make_repository(root: Path, files: dict[str, str]) -> str:
    """Make the repository ``root/tasks.git`` of some files and of all the traps; return its commit.

    :param files: text by path, some of them in ``eval``. The commit has the branch ``main`` and the tag ``v1``.
    """
    work = root / "work"
    work.mkdir()
    git(work, "init", "--quiet", "--initial-branch", "main")
    for name, text in {**files, ".gitattributes": "* filter=trap\n", "lfs/big.yaml": LFS_POINTER}.items():
        (work / name).parent.mkdir(parents=True, exist_ok=True)
        (work / name).write_text(text)
    (work / "eval" / "link.yaml").symlink_to("/etc/passwd")
    git(work, "add", ".")
    git(work, "update-index", "--add", "--cacheinfo", f"160000,{SUBMODULE},eval/sub")
    git(work, "commit", "--quiet", "--message", "Tasks")
    git(work, "tag", "--annotate", "v1", "--message", "One")
    git(root, "clone", "--quiet", "--bare", "--no-local", str(work), NAME)
    return git(work, "rev-parse", "HEAD")


def make_bare(root: Path, name: str) -> Path:
    """Make an empty bare repository for objects that no work tree could have, and return its place."""
    git(root, "init", "--quiet", "--bare", "--initial-branch", "main", name)
    return root / name


def write_blob(repository: Path, content: bytes) -> str:
    """Add a file's content and return its object."""
    return _write(repository, "blob", content)


def write_tree(repository: Path, entries: dict[str | bytes, tuple[str, str]]) -> str:
    """Add a directory as it is said, whether git would take it or not, and return its object.

    :param entries: mode and object by name.
    """
    names = {name if isinstance(name, bytes) else name.encode(): entry for name, entry in entries.items()}
    raw = [mode.encode() + b" " + name + b"\0" + bytes.fromhex(at) for name, (mode, at) in sorted(names.items())]
    return _write(repository, "tree", b"".join(raw))


def commit_tree(repository: Path, tree: str) -> None:
    """Make the branch ``main`` of a directory."""
    git(repository, "update-ref", "refs/heads/main", git(repository, "commit-tree", tree, "-m", "Tasks"))


def _write(repository: Path, kind: str, content: bytes) -> str:
    command = ["git", "hash-object", "-w", "--literally", "--stdin", "-t", kind]
    return (
        subprocess.run(command, cwd=repository, input=content, capture_output=True, check=True).stdout.decode().strip()
    )


class GitServer:
    """Serves the repositories below a directory at ``https://localhost:PORT/``.

    ``/moved/…`` redirects there, and ``/wordy/…`` refuses with more words than anyone wants to read.

    :param root: of the repositories; certificate and key are written there.
    """

    def __init__(self, root: Path) -> None:
        self.certificate = root / "certificate.pem"
        _certify(self.certificate, root / "key.pem")
        self.requests: list[str] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(root, self.requests))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, root / "key.pem")
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.host = f"localhost:{self._server.server_port}"
        self.url = f"https://{self.host}/{NAME}"

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def _handler(root: Path, requests: list[str]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer(b"")

        def do_POST(self) -> None:
            self._answer(self.rfile.read(int(self.headers["Content-Length"])))

        def _answer(self, body: bytes) -> None:
            requests.append(self.path)
            if self.path.startswith("/moved/"):
                self.send_response(302)
                self.send_header("Location", self.path.removeprefix("/moved"))
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            if self.path.startswith("/wordy/"):
                self._refuse("\x1b[2Jno " * 200_000)
                return
            path, _, query = self.path.partition("?")
            variables = {
                "PATH": os.environ["PATH"],
                "GIT_PROJECT_ROOT": str(root),
                "GIT_HTTP_EXPORT_ALL": "1",
                "GIT_CONFIG_COUNT": "1",
                "GIT_CONFIG_KEY_0": "safe.directory",
                "GIT_CONFIG_VALUE_0": "*",
                "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
                "PATH_INFO": path,
                "QUERY_STRING": query,
                "REQUEST_METHOD": self.command,
                "CONTENT_TYPE": self.headers.get("Content-Type", ""),
                "CONTENT_LENGTH": str(len(body)),
                "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            }
            done = subprocess.run(["git", "http-backend"], env=variables, input=body, capture_output=True)
            head, _, content = done.stdout.partition(b"\r\n\r\n")
            headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
            self.send_response(int(headers.pop("Status", "200").split()[0]))
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            with contextlib.suppress(OSError):  # a client that has had enough
                self.wfile.write(content)

        def _refuse(self, words: str) -> None:
            self.send_response(403)
            self.send_header("Content-Type", "text/plain")
            self.send_header("Content-Length", str(len(words)))
            self.end_headers()
            self.wfile.write(words.encode())

        def log_message(self, *args: Any) -> None:
            pass

    return Handler


def _certify(certificate: Path, key_file: Path) -> None:
    """Write a certificate for ``localhost`` that vouches for itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    today = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(today - datetime.timedelta(days=1))
        .not_valid_after(today + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    plain = serialization.NoEncryption()
    key_file.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain))
