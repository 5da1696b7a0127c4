"""The commands of a look-up, byte for byte, and replies however they arrive."""

import asyncio
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import hiredis
import pytest
import uvloop
from hypothesis import given
from hypothesis import strategies as st

from api.contract.ids import LONGEST, canonical, quote
from api.contract.keys import Keys
from api.store.commands import LookupCommands
from api.store.connection import Address, ConnectionLost, Refusal, RespConnection, connect, pack
from tests.world import AS_OF_S, KINDS, Names, World

USER_IDS = st.integers(-(2**63), 2**63 - 1).map(str) | st.text(
    st.characters(exclude_categories=["Cs"]), min_size=1, max_size=300
)


def commands(packed: bytes) -> list[list[bytes]]:
    """Read packed commands as a server does."""
    reader = hiredis.Reader()
    reader.feed(packed)
    read: list[list[bytes]] = []
    while (command := reader.gets()) is not False:
        read.append(command)
    return read


@pytest.mark.parametrize("names", KINDS.values(), ids=list(KINDS))
@given(user=USER_IDS, after_s=st.integers(0, 10**9), prefix=st.sampled_from(["almanac", "100%", "ä{b}"]))
def test_a_time_from_as_of_on_reads_the_list_and_what_was_seen_since_or_accepted_late(
    user: str, after_s: int, prefix: str, names: Names
) -> None:
    keys, manifest = Keys(prefix), World(names=names).manifest
    bucket_s, at_s = manifest.horizon.bucket_for(AS_OF_S + after_s), AS_OF_S + after_s

    packed, n_replies = LookupCommands(keys, manifest).pack_own(user, at_s, bucket_s)

    key = canonical(user, names.kind)
    late_s = AS_OF_S if names.kind == "numbers" else at_s  # the post of an event may have had no number
    wanted = [
        ("HGET", keys.list(key, 1), bucket_s),
        ("ZRANGE", keys.seen(key), at_s, f"({AS_OF_S}", "BYSCORE", "REV"),
        ("ZRANGE", keys.seen_live(key), "-inf", late_s, "BYSCORE"),
    ]
    if len(quote(key).encode()) > LONGEST:  # no id: nobody has a list or has seen anything
        wanted[1:] = [("ZRANGE", keys.seen(key), "-inf", at_s, "BYSCORE")]
        wanted += [("ZRANGE", keys.seen_live(key), "-inf", at_s, "BYSCORE")] * (names.kind == "text")
    assert commands(packed) == [[str(part).encode() for part in command] for command in wanted]
    assert n_replies == len(wanted)


@pytest.mark.parametrize("names", KINDS.values(), ids=list(KINDS))
def test_an_earlier_time_reads_all_that_was_seen_by_then(names: Names) -> None:
    keys, manifest = Keys(), World(seen_policy="likes", names=names).manifest

    packed, _ = LookupCommands(keys, manifest).pack_own("7", AS_OF_S - 1, manifest.start_s)

    until = [b"-inf", str(AS_OF_S - 1).encode(), b"BYSCORE"]
    sets = [b"almanac:1:likes:{7}", b"almanac:1:likes:{7}:live"][: 1 + (names.kind == "text")]
    assert commands(packed)[1:] == [[b"ZRANGE", key, *until] for key in sets]


@pytest.mark.parametrize("names", KINDS.values(), ids=list(KINDS))
@given(user=USER_IDS, after_s=st.integers(-(10**6), 10**6), prefix=st.sampled_from(["almanac", "100%"]))
def test_of_lists_that_hold_seen_posts_all_that_was_seen_is_read_and_the_segment(
    user: str, after_s: int, prefix: str, names: Names
) -> None:
    keys, manifest = Keys(prefix), World(names=names, holds_seen=True).manifest
    at_s, key = AS_OF_S + after_s, canonical(user, names.kind)

    packed, n_replies = LookupCommands(keys, manifest).pack_own(user, at_s, manifest.start_s)

    sets = [keys.seen(key), keys.seen_live(key)][: 1 + (names.kind == "text")]
    wanted: list[tuple[object, ...]] = [("HMGET", keys.list(key, 1), manifest.start_s, "segment")]
    wanted += [("ZRANGE", name, "-inf", at_s, "BYSCORE") for name in sets]
    assert commands(packed) == [[str(part).encode() for part in command] for command in wanted]
    assert n_replies == len(wanted)


@pytest.mark.parametrize("holds_seen", [False, True])
@given(user=USER_IDS, after_s=st.integers(-(10**6), 10**6), prefix=st.sampled_from(["almanac", "100%"]))
def test_packed_lists_are_read_whole_whatever_the_bucket(
    user: str, after_s: int, prefix: str, holds_seen: bool
) -> None:
    keys, laid_out = (
        Keys(prefix),
        [World(holds_seen=holds_seen, layout=layout).manifest for layout in ("text", "packed")],
    )
    bucket_s, at_s = laid_out[0].horizon.bucket_for(AS_OF_S + after_s), AS_OF_S + after_s

    text, packed = (LookupCommands(keys, one).pack_own(user, at_s, bucket_s) for one in laid_out)

    assert commands(packed[0])[0] == [b"GET", keys.list(canonical(user, "numbers"), 1).encode()]
    old = [[b"GET", keys.seen_old(canonical(user, "numbers")).encode()]]
    wants_all = holds_seen or at_s < AS_OF_S or len(user.encode()) > LONGEST
    assert commands(packed[0])[1:] == commands(text[0])[1:] + old * wants_all
    assert packed[1] == text[1] + wants_all


def test_ids_share_what_they_are_packed_by_if_they_are_as_long() -> None:
    commands = LookupCommands(Keys(), World().manifest)
    for user in range(10_000, 12_000):
        commands.pack_own(str(user), AS_OF_S, 0)
    for n in range(2000):
        commands.pack_own("x" * n, AS_OF_S, 0)  # whatever is asked for

    assert len(commands._templates) <= LONGEST + 1


def test_without_a_seen_policy_nothing_but_the_list_is_read() -> None:
    packed, n_replies = LookupCommands(Keys(), World(seen_policy="none").manifest).pack_own("7", AS_OF_S, 0)

    assert (len(commands(packed)), n_replies) == (1, 1)


class Wire(asyncio.Transport):
    """A transport that keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.aborted = False

    def write(self, data: Any) -> None:
        """Keep it."""
        self.written += data

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Hold nothing back, as ever."""

    def abort(self) -> None:
        """Take note."""
        self.aborted = True


@given(cuts=st.lists(st.integers(0, 80), max_size=6))
def test_replies_reach_who_asked_however_they_are_cut_and_changes_come_before_later_replies(
    cuts: list[int],
) -> None:
    stream = (
        b"$1\r\na\r\n>2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\nk\r\n*2\r\n:1\r\n:2\r\n_\r\n-WRONGTYPE no\r\n"
    )
    said: list[Any] = []

    async def exchange() -> None:
        link = RespConnection(1.0, lambda: said.append("changed"), lambda: None)
        link.connection_made(Wire())
        link.send((b"", 1, said.append))
        link.send((b"", 3, said.append))
        places = sorted(min(cut, len(stream)) for cut in cuts)
        for low, high in zip([0, *places], [*places, len(stream)], strict=True):
            link.data_received(stream[low:high])
        link.drop("done")

    asyncio.run(exchange())

    assert said[:2] == [[b"a"], "changed"]
    numbers, nothing, refusal = said[2]
    assert (numbers, nothing, str(refusal)) == ([1, 2], None, "WRONGTYPE no")
    assert isinstance(refusal, Refusal)


@pytest.mark.parametrize("said", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"+OK\r\n+OK\r\n"])
def test_what_is_no_reply_ends_the_connection(said: bytes) -> None:
    lost: list[str] = []

    async def exchange() -> None:
        link, wire = RespConnection(1.0, lambda: None, lambda: lost.append("lost")), Wire()
        link.connection_made(wire)
        asking = asyncio.create_task(link.call(("PING",)))
        await asyncio.sleep(0)
        link.data_received(said)
        assert wire.aborted
        with pytest.raises(ConnectionLost, match="is no reply"):
            await (asking if said[0] == 72 else link.call(("PING",)))
        await asyncio.gather(asking, return_exceptions=True)

    asyncio.run(exchange())

    assert lost == ["lost"]


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run])
def test_a_reply_that_came_while_the_process_was_held_up_is_read(run: Callable[[Any], Any]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        answers = threading.Thread(target=answer_once, args=(server,))
        answers.start()

        async def held_up() -> Any:
            loop, link = asyncio.get_running_loop(), RespConnection(0.05, lambda: None, lambda: None)
            await loop.create_connection(lambda: link, *server.getsockname())
            other, work = socket.socketpair()
            with other, work:
                loop.add_reader(work, hold_up, work)
                other.send(b"1")
                replies = await link.call(("PING",))
                loop.remove_reader(work)
            link.drop("done")
            return replies

        assert run(held_up()) == [b"PONG"]
        answers.join()


def hold_up(work: socket.socket) -> None:
    """Take long, as the work of many requests does."""
    work.recv(1)
    time.sleep(0.2)


def answer_once(server: socket.socket) -> None:
    """Answer one PING."""
    peer, _ = server.accept()
    with peer:
        peer.recv(100)
        time.sleep(0.02)
        peer.sendall(b"+PONG\r\n")


@pytest.mark.parametrize(
    ("url", "wanted"),
    [
        ("redis://127.0.0.1:{port}/3", [[b"HELLO", b"3"], [b"SELECT", b"3"]]),
        (
            "redis://api:s%40fe@127.0.0.1:{port}",
            [[b"HELLO", b"3", b"AUTH", b"api", b"s@fe"], [b"SELECT", b"0"]],
        ),
        (
            "redis://:s%40fe@127.0.0.1:{port}",
            [[b"HELLO", b"3", b"AUTH", b"default", b"s@fe"], [b"SELECT", b"0"]],
        ),
        ("unix://{path}?db=1", [[b"HELLO", b"3"], [b"SELECT", b"1"]]),
    ],
)
def test_a_connection_begins_as_its_url_says(url: str, wanted: list[list[bytes]], tmp_path: Path) -> None:
    heard: list[list[bytes]] = []

    async def begin() -> bool:
        done = asyncio.Event()

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            heard.extend(commands(await reader.read(1000)))
            writer.write(b"%0\r\n+OK\r\n+PONG\r\n-ERR what is tracking?\r\n")
            await reader.read()
            await end(writer, done)

        path = tmp_path / "socket"
        unix = await asyncio.start_unix_server(answer, path)
        async with unix, await asyncio.start_server(answer, "127.0.0.1") as tcp:
            port = tcp.sockets[0].getsockname()[1]
            address = Address(url.format(port=port, path=path), 5.0, 5.0)
            link = await connect(address, lambda: None, lambda: None)
            link.drop("done")
            await done.wait()
            return link.tracks

    assert not asyncio.run(begin())
    assert heard[:2] == wanted


def test_a_url_of_rediss_is_spoken_to_in_tls() -> None:
    heard: list[bytes] = []

    async def begin() -> None:
        done = asyncio.Event()

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            heard.append(await reader.read(1))
            await end(writer, done)

        async with await asyncio.start_server(answer, "127.0.0.1") as server:
            port = server.sockets[0].getsockname()[1]
            with pytest.raises(OSError):  # noqa: PT011 - how it fails is not ours to say
                await connect(Address(f"rediss://127.0.0.1:{port}", 5.0, 5.0), lambda: None, lambda: None)
            await done.wait()

    asyncio.run(begin())

    assert heard == [b"\x16"]  # the beginning of a handshake


async def end(writer: asyncio.StreamWriter, done: asyncio.Event) -> None:
    """Close one end of a connection."""
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()
    done.set()


def test_a_command_is_packed_as_the_server_reads_it() -> None:
    assert commands(pack("SET", "ä", 5) + pack("GET", b"k")) == [[b"SET", "ä".encode(), b"5"], [b"GET", b"k"]]
