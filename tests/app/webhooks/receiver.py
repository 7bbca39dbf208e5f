"""A receiver on a real socket that does whatever it is told, connection by connection."""

import datetime as dt
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from ipaddress import ip_address
from pathlib import Path
from threading import Event, Thread

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

Behaviour = Callable[["Call"], None]


class Call:
    """One connection: the request that came, and ways to answer it."""

    def __init__(self, connection: socket.socket, stopping: Event) -> None:
        self.connection, self.stopping = connection, stopping
        self.headers: dict[str, str] = {}
        self.body = b""

    def read(self) -> None:
        data = b""
        while b"\r\n\r\n" not in data:
            data += self._some()
        head, _, self.body = data.partition(b"\r\n\r\n")
        lines = head.decode().split("\r\n")
        self.line = lines[0]
        self.headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:])}
        while len(self.body) < int(self.headers["content-length"]):
            self.body += self._some()

    def _some(self) -> bytes:
        if data := self.connection.recv(65536):
            return data
        raise ConnectionError

    def say(self, data: bytes | str) -> None:
        self.connection.sendall(data if isinstance(data, bytes) else data.encode())

    def answer(self, status: int, body: str = "", **headers: str) -> None:
        lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(body.encode())}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        self.say("\r\n".join(lines) + "\r\n\r\n" + body)

    def drip(self, data: bytes, pause: float = 0.01) -> None:
        """Byte by byte, again and again, until the other side has had enough."""
        while not self.stopping.is_set():
            for byte in data:
                self.say(bytes([byte]))
                time.sleep(pause)


def answering(status: int, body: str = "", **headers: str) -> Behaviour:
    return lambda call: call.answer(status, body, **headers)


class Receiver:
    """Accepts connections until it is closed, one after the other; `calls` are those whose request came whole."""

    def __init__(self, behaviour: Behaviour, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None) -> None:
        self.behaviour, self.tls = behaviour, tls
        self.calls: list[Call] = []
        self.connections = 0
        self._stopping = Event()
        self._listener = socket.create_server((host, 0))
        self.host, self.port = self._listener.getsockname()[:2]
        self._thread = Thread(target=self._serve)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"{'https' if self.tls else 'http'}://{self.host}:{self.port}/hooks"

    def _serve(self) -> None:
        while not self._stopping.is_set():
            connection, _ = self._listener.accept()
            if self._stopping.is_set():
                connection.close()
                return
            self.connections += 1
            connection.settimeout(5)
            with suppress(OSError):
                if self.tls:
                    connection = self.tls.wrap_socket(connection, server_side=True)
                call = Call(connection, self._stopping)
                call.read()
                self.calls.append(call)
                self.behaviour(call)
            with suppress(OSError):
                connection.close()

    def close(self) -> None:
        self._stopping.set()
        with suppress(OSError):
            socket.create_connection((self.host, self.port), 1).close()
        self._thread.join()
        self._listener.close()


@contextmanager
def receiving(behaviour: Behaviour, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None) -> Iterator[Receiver]:
    receiver = Receiver(behaviour, host, tls)
    try:
        yield receiver
    finally:
        receiver.close()


def certificate(folder: Path, name: str) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A server's context with a certificate for a name or an address, and a client's that trusts it."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    now = dt.datetime.now(dt.UTC)
    known = x509.IPAddress(ip_address(name)) if name[0].isdigit() else x509.DNSName(name)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([known]), critical=False)
        .sign(key, hashes.SHA256())
    )
    file = folder / "certificate.pem"
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    file.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(file)
    client = ssl.create_default_context(cafile=file)
    return server, client
