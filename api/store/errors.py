"""Why a look-up has no answer, or only one from memory."""


class NothingPublished(LookupError):
    """No generation is current under the variant."""

    def __init__(self, variant: str) -> None:
        super().__init__(
            f"nothing is published under variant {variant!r} yet: run `almanac run --variant {variant}`"
        )
        self.variant = variant


class GenerationUnreadable(LookupError):
    """The current generation lacks a part, or a part cannot be read."""

    def __init__(self, generation: int, why: str) -> None:
        super().__init__(f"generation {generation} cannot be served: {why}")
        self.generation = generation


class GenerationTooNew(GenerationUnreadable):
    """The current generation needs features that this version does not know; its `needs` say which."""


class GenerationGone(LookupError):
    """A page was asked of a generation that is no longer kept."""

    def __init__(self, generation: int) -> None:
        super().__init__(
            f"generation {generation}, to which this cursor belongs, is no longer kept: ask without a cursor"
        )
        self.generation = generation


class RunUnknown(LookupError):
    """Nothing is known of a run, or no longer."""

    def __init__(self, run_id: str) -> None:
        super().__init__(f"no run {run_id} waits or was told of today: `almanac runs list` knows older ones")


class RunRefused(ValueError):
    """A run is not asked for, or not ended, as things stand; the message says why."""


LOADING = "a generation is still being loaded"


class StoreUnavailable(Exception):
    """The store did not answer, or not in time, or not with what was asked for."""

    def __init__(self, why: object) -> None:
        super().__init__(f"the store does not answer: {why}")


DEGRADABLE_ERRORS = (NothingPublished, GenerationUnreadable, StoreUnavailable)  # memory may answer instead
