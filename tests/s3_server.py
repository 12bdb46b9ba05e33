"""A real S3 server for tests: OpenStack Swift with its s3api, four processes on loopback.

It enforces what moto lets pass: wrong checksums are refused and conditional writes hold for
multipart uploads too. In a test module or a ``conftest.py``::

    from tests.s3_server import s3_bucket, s3_server  # noqa: F401

``s3_server`` starts once for all modules that import it and stops with the last of them; the
credentials are in the environment meanwhile, so that worker processes find them. The kernel ends
the servers if the tests are killed.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from storage.connection import S3Options

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mypy_boto3_s3 import S3Client

# One throw-away account on loopback.
ACCESS_KEY = "test:tester"
SECRET_KEY = "testing-only"
REGION = "us-east-1"
BOOT_TIMEOUT_S = 60.0
SERVERS = ("account", "container", "object")
BUCKET_ATTEMPTS = 5

SWIFT_CONF = """
[swift-hash]
swift_hash_path_prefix = nightreel
swift_hash_path_suffix = tests
"""

STORAGE_CONF = """
[DEFAULT]
bind_ip = 127.0.0.1
bind_port = {port}
swift_dir = {folder}
devices = {folder}/devices
mount_check = false
disable_fallocate = true
fallocate_reserve = 0
workers = 0
[pipeline:main]
pipeline = {kind}-server
[app:{kind}-server]
use = egg:swift#{kind}
"""

PROXY_CONF = """
[DEFAULT]
bind_ip = 127.0.0.1
bind_port = {port}
swift_dir = {folder}
workers = 0
[pipeline:main]
pipeline = catch_errors cache s3api tempauth bulk slo dlo symlink proxy-server
[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true
allow_account_management = true
[filter:catch_errors]
use = egg:swift#catch_errors
[filter:cache]
use = egg:swift#memcache
memcache_servers = 127.0.0.1:1
[filter:s3api]
use = egg:swift#s3api
location = {region}
allow_multipart_uploads = true
[filter:tempauth]
use = egg:swift#tempauth
user_test_tester = {secret} .admin
[filter:bulk]
use = egg:swift#bulk
[filter:slo]
use = egg:swift#slo
[filter:dlo]
use = egg:swift#dlo
[filter:symlink]
use = egg:swift#symlink
"""


RINGS = """
import sys
from swift.common.ring import RingBuilder

for place in sys.argv[2:]:
    kind, port = place.split("=")
    ring = RingBuilder(part_power=1, replicas=1, min_part_hours=0)
    device = {"region": 1, "zone": 1, "ip": "127.0.0.1", "device": "disk", "weight": 1.0}
    ring.add_dev({**device, "port": int(port)})
    ring.rebalance()
    ring.get_ring().save(f"{sys.argv[1]}/{kind}.ring.gz")
"""


@dataclass(frozen=True, slots=True)
class S3Server:
    """A running server.

    Attributes:
        endpoint_url: where it listens.
        folder: its configuration, data and logs.
    """

    endpoint_url: str
    folder: Path

    def options(self, **changes: object) -> S3Options:
        """Options for a store on this server; credentials come from the environment."""
        values = {"endpoint_url": self.endpoint_url, "region": REGION, "addressing_style": "path"}
        return S3Options(**(values | changes))  # type: ignore[arg-type]

    def client(self) -> S3Client:
        """A plain boto3 client, to look behind a store's back."""
        return _client(self.endpoint_url)

    def make_bucket(self) -> str:
        """A new empty bucket; Swift on a busy machine says 503 now and then."""
        for attempt in range(1, BUCKET_ATTEMPTS + 1):
            name = f"bucket-{uuid.uuid4().hex[:12]}"
            try:
                self.client().create_bucket(Bucket=name)
            except ClientError:
                if attempt == BUCKET_ATTEMPTS:
                    raise
                time.sleep(attempt)
            else:
                return name
        raise AssertionError("unreachable: the last attempt returns or raises")


@cache
def _client(endpoint_url: str) -> S3Client:
    return boto3.client(
        "s3",
        endpoint_url=endpoint_url,
        region_name=REGION,
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=SECRET_KEY,
        config=Config(
            s3={"addressing_style": "path"},
            connect_timeout=5,
            read_timeout=30,
            retries={"mode": "standard", "total_max_attempts": 1},
        ),
    )


@contextmanager
def running_server() -> Iterator[S3Server]:
    """Start Swift, wait until it answers, and stop it at the end."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=_xattr_folder())))
        ports = _write_configuration(folder)
        for kind in (*SERVERS, "proxy"):
            stack.enter_context(_process(kind, folder))
        server = S3Server(f"http://127.0.0.1:{ports['proxy']}", folder)
        _wait_until_up(server)
        yield server


def _xattr_folder() -> str:
    """A folder for temporary files whose file system takes user attributes: Swift needs them."""
    for candidate in (tempfile.gettempdir(), "/var/tmp", "/dev/shm", str(Path.cwd())):
        with suppress(OSError), tempfile.NamedTemporaryFile(dir=candidate) as file:
            os.setxattr(file.name, "user.nightreel", b"1")
            return candidate
    pytest.skip("no file system with user xattrs for Swift's data")


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def _write_configuration(folder: Path) -> dict[str, int]:
    kinds = (*SERVERS, "proxy")
    ports = dict(zip(kinds, _free_ports(len(kinds)), strict=True))
    (folder / "devices" / "disk").mkdir(parents=True)
    (folder / "swift.conf").write_text(SWIFT_CONF)
    for kind in SERVERS:
        text = STORAGE_CONF.format(kind=kind, port=ports[kind], folder=folder)
        (folder / f"{kind}.conf").write_text(text)
    text = PROXY_CONF.format(port=ports["proxy"], folder=folder, region=REGION, secret=SECRET_KEY)
    (folder / "proxy.conf").write_text(text)
    # Not in this process: Swift's modules bring eventlet with them.
    places = [f"{kind}={ports[kind]}" for kind in SERVERS]
    subprocess.run(
        [sys.executable, "-W", "ignore", "-c", RINGS, folder, *places], check=True, timeout=60
    )
    return ports


@contextmanager
def _process(kind: str, folder: Path) -> Iterator[None]:
    script = Path(sys.executable).with_name(f"swift-{kind}-server")
    with (folder / f"{kind}.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, script, folder / f"{kind}.conf", "-v"],
            stdout=log,
            stderr=log,
            stdin=subprocess.DEVNULL,
            preexec_fn=_die_with_parent,  # noqa: PLW1509 - one call into libc, takes no lock
            env={**os.environ, "PYTHONWARNINGS": "ignore"},
        )
    try:
        yield
    finally:
        process.kill()
        process.wait(timeout=30)


def _die_with_parent() -> None:
    pr_set_pdeathsig = 1
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)


def _wait_until_up(server: S3Server) -> None:
    end = time.monotonic() + BOOT_TIMEOUT_S
    while True:
        try:
            server.client().list_buckets()
        except (BotoCoreError, ClientError) as error:
            if time.monotonic() > end:
                logs = "\n".join(p.read_text()[-2000:] for p in server.folder.glob("*.log"))
                pytest.fail(f"Swift isn't up after {BOOT_TIMEOUT_S} s: {error}\n{logs}")
            time.sleep(0.1)
        else:
            return


class _Shared:
    """One server for all the modules that import the fixture."""

    users = 0
    server: S3Server | None = None
    stack = ExitStack()


@contextmanager
def shared_server() -> Iterator[S3Server]:
    """The one running server, started by the first user and stopped by the last."""
    if _Shared.server is None:
        _Shared.server = _Shared.stack.enter_context(running_server())
    _Shared.users += 1
    try:
        yield _Shared.server
    finally:
        _Shared.users -= 1
        if not _Shared.users:
            _Shared.server = None
            _Shared.stack.close()


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3Server]:
    """The server, with its credentials in the environment."""
    if shutil.which("swift-proxy-server", path=str(Path(sys.executable).parent)) is None:
        pytest.skip("swift isn't installed")
    with pytest.MonkeyPatch.context() as patch, shared_server() as server:
        patch.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY)
        patch.setenv("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        patch.delenv("AWS_SESSION_TOKEN", raising=False)
        patch.delenv("AWS_PROFILE", raising=False)
        yield server


@pytest.fixture
def s3_bucket(s3_server: S3Server) -> str:
    """A new empty bucket on the server."""
    return s3_server.make_bucket()
