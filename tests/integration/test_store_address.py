"""One URL of the store, one meaning: what the batch writes at it, the API reads at it, or both refuse it."""

import asyncio
import shutil
import ssl
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import redis
from fastapi.testclient import TestClient

from api.main import create_app
from api.settings import Settings
from batch.store.connection import StoreFailed, open_store
from tests.clients import NOW_S, OwnStore
from tests.world import World

pytestmark = pytest.mark.integration

PATH = "/post/recommendations/?id=2&time=2021-12-20T12:00:00&limit=3"
PASSWORD = "p@ss:w/rd?#"
QUOTED = "p%40ss%3Aw%2Frd%3F%23"


@dataclass(frozen=True, slots=True)
class Tls:
    """Where the TLS ports listen, and the files that belong to them.

    Attributes:
        port: Takes whoever speaks TLS.
        mutual_port: Takes only who shows our own certificate.
        certificate: Self-signed, for 127.0.0.1 and no other name.
        key: Its key.
    """

    port: int
    mutual_port: int
    certificate: Path
    key: Path


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnStore]:
    """Run a store with a password, on a port and on a Unix socket."""
    folder = tmp_path_factory.mktemp("store")
    own = OwnStore(folder)
    client = own.start("--unixsocket", str(folder / "s.sock"))
    client.acl_setuser("ann", enabled=True, passwords=[f"+{PASSWORD}"], keys=["*"], categories=["+@all"])
    client.acl_setuser("default", enabled=False)
    client.close()
    yield own
    own.kill()


@pytest.fixture(scope="module")
def tls(plain: OwnStore, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tls]:
    """Put TLS in front of the store, with a certificate that only its own file vouches for."""
    if not shutil.which("openssl"):
        pytest.skip("openssl makes the certificate")
    folder = tmp_path_factory.mktemp("tls")
    certificate, key = folder / "c.pem", folder / "k.pem"
    subprocess.run(
        "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=almanac"
        f" -addext subjectAltName=IP:127.0.0.1 -keyout {key} -out {certificate}".split(),
        check=True,
        capture_output=True,
    )
    contexts = []
    for _ in range(2):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        contexts.append(context)
    contexts[1].load_verify_locations(certificate)
    contexts[1].verify_mode = ssl.CERT_REQUIRED
    with forwarding(plain.port, contexts) as (port, mutual_port):
        yield Tls(port, mutual_port, certificate, key)


@contextmanager
def forwarding(target: int, contexts: list[ssl.SSLContext]) -> Iterator[list[int]]:
    """Give ports, one a context, that pass on in plain what they are told in TLS."""
    loop, ports, over = asyncio.new_event_loop(), Future[list[int]](), asyncio.Event()

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65_536):
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", target)
        await asyncio.gather(pump(reader, back), pump(there, writer))

    async def listen() -> None:
        servers = [await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context) for context in contexts]
        ports.set_result([server.sockets[0].getsockname()[1] for server in servers])
        await over.wait()
        for server in servers:
            server.close()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()

    thread = threading.Thread(target=loop.run_until_complete, args=(listen(),))
    loop.set_exception_handler(lambda *_: None)  # clients that do not trust us
    thread.start()
    try:
        yield ports.result(10)
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join(10)
        loop.close()


def ask(url: str) -> tuple[int, str]:
    """Return the API's status and body for a feed, with the store at `url`."""
    app = create_app(Settings(redis_url=url, connect_timeout_s=5.0), clock=lambda: NOW_S)
    with TestClient(app) as client:
        reply = client.get(PATH)
    return reply.status_code, reply.text


@pytest.mark.parametrize(
    "query",
    [
        "ssl_cert_reqs=none",
        "ssl_ca_certs={certificate}",
        "ssl_ca_certs={certificate}&ssl_cert_reqs=required&ssl_check_hostname=yes&ssl_min_version=771",
        "ssl_ca_certs={certificate}&protocol=2&socket_timeout=5&client_name=almanac",
        "db=3&ssl_cert_reqs=none",
    ],
)
def test_what_a_url_says_of_tls_holds_for_the_batch_and_the_api(tls: Tls, query: str) -> None:
    told = query.format(certificate=tls.certificate)
    url = f"rediss://ann:{QUOTED}@127.0.0.1:{tls.port}/1?{told}"
    with open_store(url) as client:
        client.flushdb()
        world = World().publish(client).promote(client)
        assert client.get_connection_kwargs()["db"] == (3 if "db=3" in query else 1)

    status, body = ask(url)

    assert status == 200, body
    assert f'[{{"id":{world.liked(0)[2]},' in body


def test_a_name_that_the_certificate_does_not_hold_needs_ssl_check_hostname_no(tls: Tls) -> None:
    url = f"rediss://ann:{QUOTED}@localhost:{tls.port}/1?ssl_ca_certs={tls.certificate}"

    with pytest.raises(StoreFailed, match="Hostname mismatch"), open_store(url):
        pass
    status, body = ask(url)
    assert (status, "Hostname mismatch" in body) == (503, True)

    with open_store(f"{url}&ssl_check_hostname=no") as client:
        World().publish(client).promote(client)
    assert ask(f"{url}&ssl_check_hostname=no")[0] == 200


def test_a_store_that_wants_a_certificate_gets_ours(tls: Tls) -> None:
    url = f"rediss://ann:{QUOTED}@127.0.0.1:{tls.mutual_port}/1?ssl_ca_certs={tls.certificate}"

    with pytest.raises(StoreFailed), open_store(url):
        pass
    assert ask(url)[0] == 503

    ours = f"{url}&ssl_certfile={tls.certificate}&ssl_keyfile={tls.key}"
    with open_store(ours) as client:
        World().publish(client).promote(client)
    assert ask(ours)[0] == 200


@pytest.mark.parametrize("query", ["", "?ssl_cert_reqs=required"])
def test_a_certificate_that_nobody_vouches_for_is_refused_by_both(tls: Tls, query: str) -> None:
    url = f"rediss://ann:{QUOTED}@127.0.0.1:{tls.port}/1{query}"

    with pytest.raises(StoreFailed, match="CERTIFICATE_VERIFY_FAILED") as refused, open_store(url):
        pass
    status, body = ask(url)

    assert (status, "CERTIFICATE_VERIFY_FAILED" in body) == (503, True)
    assert "ss" + PASSWORD[4:] not in f"{refused.value} {body}"


@pytest.mark.parametrize(
    "where", ["unix://ann:{quoted}@{folder}/s.sock?db=5", "redis://ann:{quoted}@127.0.0.1:{port}/5"]
)
@pytest.mark.parametrize("more", ["", "protocol=2"])
def test_a_socket_and_a_port_have_name_password_and_database(plain: OwnStore, where: str, more: str) -> None:
    url = where.format(quoted=QUOTED, folder=plain.folder, port=plain.port)
    url += f"{'&' if '?' in url else '?'}{more}" if more else ""
    with open_store(url) as client:
        client.flushdb()
        World().publish(client).promote(client)
        assert isinstance(client, redis.Redis)
        assert client.get_connection_kwargs()["db"] == 5

    assert ask(url)[0] == 200
