"""What ids are in JSON, numbers or strings: it does not change behind the clients' backs."""

from api.contract.ids import LARGEST_NUMBER
from batch.data.columns import POST_ID, USER_ID
from batch.data.ids import IdNames
from batch.publish.ledger.ledger import Ledger


class IdsChanged(ValueError):
    """Ids that clients know as numbers would be strings from now on."""

    exit_code = 3


def refuse_other_kinds(ledger: Ledger, variant: str, users: IdNames, posts: IdNames, allowed: str) -> None:
    """Return unless a variant's ids are numbers in what is served and text now, and nobody allows that.

    Raises:
        IdsChanged: They are; `allowed` is not `text`.
    """
    number, _ = ledger.read_served(variant)
    served = None if number is None else ledger.manifest(number)
    if served is None or allowed == "text":
        return
    tables = (("users", USER_ID, served.user_ids, users), ("posts", POST_ID, served.post_ids, posts))
    for table, column, was, names in tables:
        if (was, names.kind) == ("numbers", "text"):
            raise IdsChanged(
                f"{column} in the table of {table} holds {_example(names)}, which is text, and generation "
                f"{served.generation}, which is served, has numbers: clients would see strings from now on; "
                "mend such ids, or allow it with ALMANAC_IDS=text"
            )


def _example(names: IdNames) -> str:
    """Return an id that is no number of JSON."""
    text = next(iter(names.texts[:1].to_pylist()), None)
    return f"a number above {LARGEST_NUMBER}" if text is None else repr(text)
