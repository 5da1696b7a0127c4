"""What people know together, and every answer that contradicts it.

What may live here: pure state of one run. No HTTP, no clock.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

MOST_TOLD = 20  # wrong answers that are told in full; all are counted
FROM_MEMORY = ("store", "generation")  # degraded so, an answer says that it may hold what the user has seen
KINDS = ("seen", "taken_down", "duplicate", "foreign", "short", "malformed")


@dataclass(frozen=True, slots=True)
class Answer:
    """A page of a feed, as it was asked for and answered.

    Attributes:
        user_id: Whose feed.
        at_s: Its time, epoch seconds: what was seen by then may not be in it.
        limit: Posts asked for.
        posts: (id, a number made of text and topic) of each post, best first.
        generation: Which generation answered, by the header.
        named: Which one did, by the body; the same where the body does not say.
        degraded: What the answer says that it lacks; empty when all is well.
        underfill: Why it says that it is short; empty where it does not.
    """

    user_id: int
    at_s: int
    limit: int
    posts: Sequence[tuple[int, int]]
    generation: int
    named: int
    degraded: str = ""
    underfill: str = ""

    @property
    def post_ids(self) -> list[int]:
        """Return the ids alone."""
        return [post_id for post_id, _ in self.posts]


@dataclass(slots=True)
class Chain:
    """The pages of one scrolled feed so far: all of one generation, no post twice."""

    generation: int | None = None
    shown: set[int] = field(default_factory=set)


class Judge:
    """Judges every answer of a run.

    Attributes:
        wrong: Kind to wrong answers; seen and taken-down posts, duplicates, posts of a foreign generation,
            fewer posts than asked for without a word, and events called malformed.
        told: The first of them, for people.
    """

    def __init__(self, taken_down: Collection[int] = ()) -> None:
        """Know which posts are taken down already."""
        self.wrong: Counter[str] = Counter(dict.fromkeys(KINDS, 0))
        self.told: list[str] = []
        self._taken_down = set(taken_down)
        self._seen: defaultdict[int, dict[int, int]] = defaultdict(dict)
        self._said: dict[tuple[int, int], int] = {}

    def saw(self, user_id: int, post_id: int, at_s: int) -> None:
        """Take note that the API has acknowledged that a user saw a post at a time."""
        seen = self._seen[user_id]
        seen[post_id] = min(at_s, seen.get(post_id, at_s))

    def took_down(self, post_id: int) -> None:
        """Take note that the API has acknowledged a takedown."""
        self._taken_down.add(post_id)

    def taken_down(self) -> frozenset[int]:
        """Return what may be in no answer to a request that is sent from now on."""
        return frozenset(self._taken_down)

    def shown(self) -> list[int]:
        """Return the posts that were in an answer and are not taken down, ascending."""
        return sorted({post_id for _, post_id in self._said} - self._taken_down)

    def read(self, answer: Answer, taken_down: Collection[int], chain: Chain | None = None) -> None:
        """Judge an answer.

        Args:
            answer: What was asked and answered.
            taken_down: What was taken down before it was asked for.
            chain: The pages before it, where it is a page of a scrolled feed; the answer joins them.
        """
        shown, ids = answer.post_ids, set(answer.post_ids)
        if answer.degraded not in FROM_MEMORY:
            seen = self._seen.get(answer.user_id, {})
            self._count(
                "seen", [post for post in ids if seen.get(post, answer.at_s + 1) <= answer.at_s], answer
            )
        self._count("taken_down", ids.intersection(taken_down), answer)
        twice = ids & chain.shown if chain else set()
        self._count("duplicate", twice | {post for post in ids if shown.count(post) > 1}, answer)
        self._count("foreign", self._foreign(answer, chain), answer)
        missing = answer.limit - len(shown) if not answer.underfill else 0
        self._count("short", range(missing), answer)
        if chain is not None:
            chain.generation = answer.generation
            chain.shown |= ids

    def note(self, kind: str, what: str) -> None:
        """Count something wrong."""
        self.wrong[kind] += 1
        if len(self.told) < MOST_TOLD:
            self.told.append(f"{kind}: {what}")

    def _foreign(self, answer: Answer, chain: Chain | None) -> list[int]:
        """Return the posts that are not of the generation that the answer names.

        A post reads the same in every answer of a generation, so two readings of it mean two generations.
        """
        first = answer.generation if chain is None or chain.generation is None else chain.generation
        if not answer.generation == answer.named == first:
            return answer.post_ids
        return [
            post_id
            for post_id, said in answer.posts
            if self._said.setdefault((answer.generation, post_id), said) != said
        ]

    def _count(self, kind: str, posts: Collection[int], answer: Answer) -> None:
        if posts:
            asked = f"user {answer.user_id} at {answer.at_s}, generation {answer.generation}"
            self.note(kind, f"{asked}: {sorted(posts)[:5]} of {answer.post_ids[:10]}")
