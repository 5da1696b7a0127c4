"""Look-ups of posts like a post: one field of the current generation, and what the user has seen."""

from api.contract.codec import decode
from api.contract.keys import Keys
from api.found import Degraded
from api.similar import Neighbours
from api.store.cache import translate_errors
from api.store.commands import check_reply, read_hidden
from api.store.current import CurrentGeneration
from api.store.errors import DEGRADABLE_ERRORS, StoreUnavailable
from api.store.lifeline import Line
from api.store.snapshot import Snapshot

MOST_TRIES = 5  # then what was read last answers: it was current while the request was under way


class PostUnknown(LookupError):
    """The current generation has no such post."""

    def __init__(self, post_id: str, snapshot: Snapshot) -> None:
        manifest = snapshot.whole.manifest
        super().__init__(
            f"post {post_id[:80]!r} is not in generation {manifest.generation} of variant "
            f"{manifest.variant!r}: ask for one of its posts, or wait for the next run if this one is new"
        )


class SimilarReader:
    """Reads neighbours, each request in one round trip unless what is current has changed."""

    def __init__(self, lifeline: Line, keys: Keys, wait_s: float) -> None:
        """Read nothing yet; `wait_s` bounds the wait for a generation that is being loaded."""
        self._lifeline = lifeline
        self._keys = keys
        self._wait_s = wait_s

    async def look_up(
        self, current: CurrentGeneration, post_id: str, user_id: str | None, at_s: int
    ) -> Neighbours:
        """Read a post's neighbours, and what a user had seen by a time; from memory where the store is away.

        Raises:
            PostUnknown: The current generation has no such post.
            NothingPublished, GenerationUnreadable, StoreUnavailable: And memory holds nothing either.
        """
        try:
            return await self._read_current(current, post_id, user_id, at_s)
        except DEGRADABLE_ERRORS as exc:
            if current.snapshot is None:
                raise
            return _remember(current.snapshot, post_id, at_s, exc)

    async def _read_current(
        self, current: CurrentGeneration, post_id: str, user_id: str | None, at_s: int
    ) -> Neighbours:
        """Read until nothing changed in between, a few times at most."""
        n_tries = 0
        while True:
            n_tries += 1
            snapshot, n_changes = await self._see_current(current)
            found = await self._read(snapshot, post_id, user_id, at_s)
            if n_changes == current.n_changes or n_tries == MOST_TRIES:
                return found

    async def _see_current(self, current: CurrentGeneration) -> tuple[Snapshot, int]:
        """Return what is current and, for the replies to come, how often that has changed."""
        n_changes, snapshot, connection = current.n_changes, current.snapshot, await self._lifeline.connect()
        if snapshot is not None and not current.is_stale and connection.tracks:
            return snapshot, n_changes
        snapshot = await current.read(self._wait_s)
        return snapshot, current.n_changes

    async def _read(self, snapshot: Snapshot, post_id: str, user_id: str | None, at_s: int) -> Neighbours:
        post = _find(snapshot, post_id)
        near = ("HGET", self._keys.similar(snapshot.whole.manifest.generation), str(post))
        seen = [] if user_id is None else snapshot.commands.list_seen(user_id, at_s)
        with translate_errors():
            ranked, *replies = await self._lifeline.call(near, *seen)
            hidden = read_hidden(replies, snapshot.whole, at_s)
        degraded: Degraded = ""
        try:
            numbers = decode(check_reply(ranked))
        except ValueError:  # somebody else's value: the rungs below are still known
            numbers, degraded = [], "value"
        text = snapshot.whole.posts[post]
        return Neighbours(post, text, snapshot.pointer, snapshot.generation, numbers, hidden, at_s, degraded)


def _find(snapshot: Snapshot, post_id: str) -> int:
    """Return the number of a post of the current generation, taken down or not.

    Raises:
        PostUnknown: It has no such post.
    """
    post = snapshot.whole.number_of(post_id)
    if post is None or post not in snapshot.whole.posts:
        raise PostUnknown(post_id, snapshot)
    return post


def _remember(snapshot: Snapshot, post_id: str, at_s: int, why: Exception) -> Neighbours:
    """Return what memory has when the store cannot be read: the topic's posts, nothing of the user."""
    post = _find(snapshot, post_id)
    return Neighbours(
        post=post,
        text=snapshot.whole.posts[post],
        pointer=snapshot.pointer,
        generation=snapshot.generation,
        near=(),
        hidden=frozenset(),
        at_s=at_s,
        degraded="store" if isinstance(why, StoreUnavailable) else "generation",
    )
