"""Live events among the facts of a run. Pure: no I/O, no clock."""

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from api.contract.ids import canonical
from batch.arrays import Floats32, Ints, Ints8, Ints32
from batch.data.columns import LIKE, USER_ID, VIEW
from batch.data.facts import Facts
from batch.data.ids import IdNames, encode_ids
from batch.data.live.events import LiveEvents
from batch.data.rows import find_rows
from batch.data.validation.order import Chunk, Events, in_order
from batch.data.validation.yes import add_views, derive_targets


class United(NamedTuple):
    """Facts with live events among them; how many of those the facts lacked, and how many have no post."""

    facts: Facts
    n_new: int
    n_unknown: int


def unite(facts: Facts, live: LiveEvents, like_within_s: int) -> United:
    """Return facts with the live events among them, as if all had been read from one place.

    A live event that the facts have, too (same time, user, post and action), counts once. One of a post that
    they do not know is left out; a user whom they do not know has no profile. An event of an id whose code is
    another id's is left out too: whoever may send events must not be able to stop a run. Where a user and a
    post have a live event, views count as liked as `derive_targets` says; every other target stays. Only the
    events whose like may be live are sorted again. Without live events the facts come back as they are.

    Where users choose, a live like without a view was a view, too, and of choices that are themselves the yes
    so is a live one; it weighs as little as any of its kind.
    """
    user_code, names = _codes(live.user, facts.user_ids, facts.user_names)
    post_code, _ = _codes(live.post, facts.post_ids, facts.post_names)
    post = find_rows(facts.post_ids, post_code)
    known = (post >= 0) & (user_code >= 0)
    n_unknown = int(np.count_nonzero(~known))
    if not known.any():
        return United(facts, 0, n_unknown)
    wider, row = _with_users(facts, user_code[known])
    wider = replace(wider, user_names=names.where(wider.user_ids))
    action = live.action[known]
    new = Chunk(
        time=live.time[known],
        user=find_rows(wider.user_ids, user_code[known]),
        post=post[known],
        what=_what(action, np.where(facts.all_chosen, action == VIEW, 0).astype(np.int8)),
        weight=_weigh(facts, action),
    )
    cut = int(np.searchsorted(facts.time, new.time.min() - like_within_s, side="left"))
    old = Chunk(
        time=facts.time[cut:],
        user=row[facts.user[cut:]],
        post=facts.post[cut:],
        what=_what(facts.action[cut:], facts.target[cut:]),
        weight=None if facts.weight is None else facts.weight[cut:],
    )
    merged, again = in_order([old, new] if len(old.time) else [new], *_rows(wider))
    merged = merged._replace(target=_targets(merged, new, like_within_s))
    if facts.shown == "choices":
        merged = add_views(merged, like_within_s)
    columns: dict[str, Any] = {"user": np.concatenate([row[facts.user[:cut]], merged.user])}
    for name in ("post", "time", "action", "target", *(["weight"] if facts.weight is not None else [])):
        columns[name] = np.concatenate([getattr(facts, name)[:cut], getattr(merged, name)])
    return United(replace(wider, **columns), int(known.sum()) - len(again.time), n_unknown)


def _codes(texts: Any, there: Ints, names: IdNames) -> tuple[Ints, IdNames]:
    """Return the code of each id, -1 where it is another id's, and the names with those that are new.

    Args:
        texts: Arrow strings (events,). Ids in any spelling.
        there: int64 (ids,), ascending. The codes of the facts' ids.
        names: What those stand for.
    """
    encoded = texts.dictionary_encode()
    compared = np.array([canonical(text, names.kind) for text in encoded.dictionary.to_pylist()], object)
    codes = encode_ids(compared.tolist())
    is_there = find_rows(there, codes) >= 0
    _, first, place = np.unique(codes, return_index=True, return_inverse=True)
    owner = compared[first[place]]
    owner[is_there] = names.canonical(codes[is_there])
    own = np.asarray(owner == compared, np.bool_)
    new = encoded.dictionary.filter(pa.array(own & ~is_there))
    codes[~own] = -1
    return codes[np.asarray(encoded.indices)], names.union(IdNames.of(names.kind, new))


def _what(action: Ints8, target: Ints8) -> npt.NDArray[np.uint8]:
    return np.asarray((action.astype(np.uint8) << 1) | target.astype(np.uint8), np.uint8)


def _weigh(facts: Facts, action: Ints8) -> Floats32 | None:
    """Return what events of these actions weigh at least among the facts, 1 where there are none; or None."""
    if facts.weight is None:
        return None
    least = [facts.weight[facts.action == code].min(initial=1) for code in (VIEW, LIKE)]
    return np.array(least, np.float32)[action]


def _rows(facts: Facts) -> tuple[Ints32, Ints32]:
    """Return each row of users and of posts as itself: the chunks hold rows already."""
    return np.arange(len(facts.users), dtype=np.int32), np.arange(len(facts.posts), dtype=np.int32)


def _targets(merged: Events, live: Chunk, like_within_s: int) -> Ints8:
    """Return the targets, those of pairs with a live event found anew."""
    pairs = (live.user.astype(np.int64) << np.int64(32)) | live.post
    touched = np.isin((merged.user.astype(np.int64) << np.int64(32)) | merged.post, pairs)
    anew = np.maximum(merged.target, derive_targets(merged, like_within_s))
    return np.where(touched, anew, merged.target).astype(np.int8)


def _with_users(facts: Facts, user_ids: Ints) -> tuple[Facts, Ints32]:
    """Return the facts with a row for every user, and int32 (old users,): where each old row is now."""
    every = np.union1d(facts.user_ids, user_ids)
    row = find_rows(every, facts.user_ids)
    if len(every) == len(facts.users):
        return facts, row
    users = facts.users.set_index(USER_ID).reindex(pd.Index(every, name=USER_ID)).reset_index()
    # A missing text is None, which pandas' filling makes NaN.
    texts = [name for name in users.columns if users[name].dtype == object]
    users[texts] = users[texts].where(users[texts].notna(), None)
    retired = facts.retired and replace(facts.retired, user=row[facts.retired.user])
    return replace(facts, users=users, retired=retired), row
