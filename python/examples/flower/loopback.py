"""Flower on one machine: a SuperLink that simulates, or a deployment with TLS and node
authentication.

All servers listen on 127.0.0.1. All files are in one folder. Processes are ended by their ids, at
the end of the `with` block. Needs the package `cryptography` for certificates.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from time import monotonic, sleep

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

NAME = "loopback"
APP = Path(__file__).parent
BIN = Path(sys.executable).parent

# No telemetry, no checks for updates, and no installation of packages while an app runs.
QUIET = {
    "FLWR_TELEMETRY_ENABLED": "0",
    "FLWR_DISABLE_UPDATE_CHECK": "1",
    "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
    "PYTHONUNBUFFERED": "1",
}


@dataclass
class Loopback:
    """Processes of Flower in a folder."""

    folder: Path
    port: int
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def home(self) -> Path:
        """The folder that Flower uses as the home of its configuration."""
        return self.folder / "home"

    @property
    def database(self) -> Path:
        """The SuperLink's database: runs, messages and their objects."""
        return self.folder / "superlink.db"

    def start(self, name: str, *command: str) -> None:
        """Starts a process with its own log."""
        with open(self.log(name), "ab") as log:
            self.processes[name] = subprocess.Popen(
                [str(BIN / command[0]), *command[1:]],
                env=self._environment(),
                cwd=self.folder,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def log(self, name: str) -> Path:
        """The log of a process."""
        return self.folder / f"{name}.log"

    def kill(self, name: str) -> None:
        """Kills a process and its children at once, like a power failure."""
        process = self.processes.pop(name)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def stop(self) -> None:
        """Ends all processes: nodes first."""
        for name in reversed(self.processes):
            self.processes[name].terminate()
        for process in self.processes.values():
            with suppress(subprocess.TimeoutExpired):
                process.wait(timeout=15)
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # the rest of it, and its children
            process.wait()
        self.processes.clear()

    def wait_for(self, name: str, text: str, timeout: float = 60) -> None:
        """Waits for a text in a log. Raises `RuntimeError` with the log after the timeout or the
        process's end.
        """
        end = monotonic() + timeout
        while text not in (log := self.log(name).read_text(errors="replace")):
            if monotonic() > end or self.processes[name].poll() is not None:
                raise RuntimeError(f"{name} did not say `{text}`:\n{log}")
            sleep(0.2)

    def flwr(self, *arguments: str, timeout: float = 120) -> str:
        """Runs `flwr` and returns its output. Raises `RuntimeError` with the output if it fails."""
        run = subprocess.run(
            [str(BIN / "flwr"), *arguments],
            env=self._environment(),
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=timeout,
            check=False,
        )
        output = run.stdout.decode(errors="replace")
        if run.returncode:
            raise RuntimeError(f"flwr {' '.join(arguments)}:\n{output}")
        return output

    def run_app(self, app: Path, config: str = "", *, nodes: int | None = None, timeout: float = 600) -> str:
        """Runs an app to its end and returns the log. `nodes` is the number of simulated nodes."""
        arguments = ["run", str(app), NAME, "--stream"]
        if config:
            arguments += ["--run-config", config]
        if nodes is not None:
            arguments += ["--federation-config", f"num-supernodes={nodes} client-resources-num-cpus=1"]
        return self.flwr(*arguments, timeout=timeout)

    def add_node(self, name: str, config: str) -> None:
        """Registers a SuperNode by its public key, starts it and waits until it is connected."""
        private, public = node_key(self.folder, name)
        self.flwr("supernode", "register", str(public), NAME, "--name", name)
        self.start(
            name,
            *("flower-supernode", "--root-certificates", str(self.folder / "ca.crt")),
            *("--superlink", f"127.0.0.1:{self.port}", "--auth-supernode-private-key", str(private)),
            *("--host", "127.0.0.1", "--port", str(free_port()), "--node-config", config),
        )

    def _environment(self) -> dict[str, str]:
        path = os.pathsep.join([str(BIN), os.environ.get("PATH", "")])
        return {**os.environ, **QUIET, "FLWR_HOME": str(self.home), "PATH": path}


@contextmanager
def simulation(folder: Path) -> Iterator[Loopback]:
    """A SuperLink that simulates its nodes."""
    flower = Loopback(folder, free_port())
    _configure(flower, "insecure = true")
    try:
        flower.start("superlink", *_superlink(flower), "--insecure", "--simulation")
        flower.wait_for("superlink", "Uvicorn running")
        yield flower
    finally:
        flower.stop()


@contextmanager
def deployment(folder: Path) -> Iterator[Loopback]:
    """A SuperLink with TLS that accepts nodes with registered keys only."""
    flower = Loopback(folder, free_port())
    folder.mkdir(parents=True, exist_ok=True)
    make_certificates(folder)
    _configure(flower, f'root-certificates = "{folder / "ca.crt"}"')
    try:
        flower.start(
            "superlink",
            *_superlink(flower),
            *("--ssl-ca-certfile", str(folder / "ca.crt"), "--ssl-certfile", str(folder / "server.crt")),
            *("--ssl-keyfile", str(folder / "server.key"), "--enable-supernode-auth"),
        )
        flower.wait_for("superlink", "Uvicorn running")
        yield flower
    finally:
        flower.stop()


def free_port() -> int:
    """A free port of 127.0.0.1."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def make_certificates(folder: Path) -> None:
    """An authority of this folder, and the SuperLink's certificate for 127.0.0.1."""
    authority, server = (ec.generate_private_key(ec.SECP384R1()) for _ in range(2))
    names = x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1"))])
    _write(folder / "ca.crt", _certificate("cipherfold example CA", authority, authority, None))
    _write(folder / "server.crt", _certificate("localhost", server, authority, names))
    _write(folder / "server.key", _private(server, serialization.PrivateFormat.TraditionalOpenSSL))


def node_key(folder: Path, name: str) -> tuple[Path, Path]:
    """A SuperNode's key pair in the format of OpenSSH, like those of
    `ssh-keygen -t ecdsa -b 384`.
    """
    key = ec.generate_private_key(ec.SECP384R1())
    private, public = folder / f"{name}.key", folder / f"{name}.pub"
    _write(private, _private(key, serialization.PrivateFormat.OpenSSH))
    openssh = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    _write(public, openssh)
    return private, public


def copy_app(app: Path, target: Path, replace: Mapping[str, str] | None = None) -> Path:
    """Copies an app, and replaces texts in its `pyproject.toml`."""
    for source in sorted(app.glob("*/*.py")):
        copied = target / source.relative_to(app)
        copied.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, copied)
    project = (app / "pyproject.toml").read_text()
    for old, new in (replace or {}).items():
        project = project.replace(old, new)
    (target / "pyproject.toml").write_text(project)
    return target


def _superlink(flower: Loopback) -> Sequence[str]:
    return (
        *("flower-superlink", "--host", "127.0.0.1", "--port", str(flower.port)),
        *("--database", str(flower.database), "--isolation", "subprocess"),
    )


def _configure(flower: Loopback, security: str) -> None:
    flower.home.mkdir(parents=True, exist_ok=True)
    text = f'[superlink]\ndefault = "{NAME}"\n\n[superlink.{NAME}]\naddress = "127.0.0.1:{flower.port}"\n{security}\n'
    (flower.home / "config.toml").write_text(text)


def _certificate(
    subject: str,
    key: ec.EllipticCurvePrivateKey,
    authority: ec.EllipticCurvePrivateKey,
    names: x509.SubjectAlternativeName | None,
) -> bytes:
    def name(text: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])

    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(name(subject))
        .issuer_name(name("cipherfold example CA"))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(days=7))
        .add_extension(x509.BasicConstraints(ca=names is None, path_length=None), critical=True)
    )
    if names is not None:
        builder = builder.add_extension(names, critical=False)
    return builder.sign(authority, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def _private(key: ec.EllipticCurvePrivateKey, form: serialization.PrivateFormat) -> bytes:
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())


def _write(path: Path, data: bytes) -> None:
    with open(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file:
        file.write(data)
