"""Nobody is published who was forgotten meanwhile: a run may have read its facts before."""

from batch.data.forgotten import read_forgotten
from batch.publish.generation import GenerationContent
from batch.publish.ledger.ledger import Ledger


class ForgottenMeanwhile(RuntimeError):
    """A content has users who are forgotten by now."""

    exit_code = 5


def refuse_forgotten(ledger: Ledger, content: GenerationContent) -> None:
    """Return unless a content has lists for users who are forgotten. Whoever calls holds the lease.

    Raises:
        ForgottenMeanwhile: It has; nothing was written.
    """
    forgotten = read_forgotten(ledger.client, ledger.keys)
    if not forgotten.tombstones:
        return
    n_gone = int(forgotten.hold(content.user_names.canonical(content.user_ids)).sum())
    if n_gone:
        raise ForgottenMeanwhile(
            f"{n_gone} of the users are forgotten (`almanac forget`), perhaps since the facts were "
            "read: run it again; a backfilled generation loses them by forgetting them again where it lies"
        )
