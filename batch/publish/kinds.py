"""What ids are in JSON, numbers or strings: it does not change behind the clients' backs."""

from api.contract.ids import Kind
from batch.publish.ledger.ledger import Ledger


class IdsChanged(ValueError):
    """Ids that clients know as numbers would be strings from now on."""

    exit_code = 3


def refuse_other_kinds(ledger: Ledger, variant: str, users: Kind, posts: Kind, allowed: str) -> None:
    """Return unless a variant's ids are numbers in what is served and text now, and nobody allows that.

    Raises:
        IdsChanged: They are; `allowed` is not `text`.
    """
    number, _ = ledger.read_served(variant)
    served = None if number is None else ledger.manifest(number)
    if served is None or allowed == "text":
        return
    for what, was, now in (("users", served.user_ids, users), ("posts", served.post_ids, posts)):
        if (was, now) == ("numbers", "text"):
            raise IdsChanged(
                f"ids of {what} are numbers in generation {served.generation}, which is served, and text in "
                f"these facts, so clients would see strings from now on: find the id in the table of {what} "
                "that is no whole number, or has a zero in front, or allow it with ALMANAC_IDS=text"
            )
