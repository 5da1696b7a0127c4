"""The past: which times another generation than the current one answers.

What may live here: pure functions over epoch seconds.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Reach:
    """The times that another generation than the current one may answer, epoch seconds.

    Attributes:
        served: From the first promotion to the latest, that one excluded: what was current then answers.
        made: From the first second of what was made for the past to the first promotion, or to the newest
            fact of what is current, whichever is sooner: what was made for the time answers.
        end_s: From then on only what is current answers.
    """

    served: range
    made: range
    end_s: int

    @classmethod
    def of(cls, first_s: int | None, promoted_at_s: int, past_s: int | None, as_of_s: int) -> "Reach":
        """Sum up a variant's past.

        Args:
            first_s: The first promotion ever; None where no history is kept.
            promoted_at_s: The latest promotion.
            past_s: The first second that a generation made for the past answers; None where there is none.
            as_of_s: Newest fact of what is current.

        >>> reach = Reach.of(first_s=1000, promoted_at_s=1200, past_s=10, as_of_s=1150)
        >>> [reach.holds(at_s) for at_s in (9, 10, 999, 1000, 1199, 1200)]
        [False, True, True, True, True, False]
        """
        served = range(0) if first_s is None else range(first_s, promoted_at_s)
        until_s = as_of_s if first_s is None else min(first_s, as_of_s)
        made = range(0) if past_s is None else range(past_s, until_s)
        return cls(served, made, max([part.stop for part in (served, made) if part], default=BEFORE_ALL_S))

    def holds(self, at_s: int) -> bool:
        """Say whether another generation than the current one may answer."""
        return at_s in self.served or at_s in self.made


BEFORE_ALL_S = -(1 << 63)
