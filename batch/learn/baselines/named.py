"""Peers by name: a variant named as a peer is made by that peer, any other by our own model."""

from hashlib import blake2b

import numpy as np
import pandas as pd

from batch.extras import require_extra
from batch.learn.baselines.interactions import Past, Peer
from batch.learn.baselines.recommender import PEERS

MADE_BY = "peer:"  # begins what a peer's manifest names as its model; no fingerprint holds a colon


def peer_of(variant: str) -> Peer | None:
    """Return the peer that makes a variant; None where our own model does.

    >>> peer_of("bm25").name, peer_of("default") is None
    ('bm25', True)
    """
    return next((peer for peer in PEERS if peer.name == variant), None)


def require(peer: Peer) -> None:
    """Make sure that what the peer needs is there.

    Raises:
        LookupError: It is not; the message says what to install.
    """
    if peer.needs:
        require_extra(peer.needs, "zoo")


def signed(peer: Peer, past: Past) -> str:
    """Return what stands for the model in a manifest: the peer, and 16 hex digits of all that it read."""
    facts, found = past.facts, blake2b(f"{peer.name} {past.seed}\n".encode(), digest_size=8)
    for table in (facts.users, facts.posts):
        found.update(np.asarray(pd.util.hash_pandas_object(table, index=False)).tobytes())
    columns = (facts.embeddings, facts.user, facts.post, facts.time, facts.action, facts.target)
    for column in columns:
        if column is not None:
            found.update(np.ascontiguousarray(column).data)
    return f"{MADE_BY}{peer.name}:{found.hexdigest()}"


def maker(model: str) -> str | None:
    """Return the name of the peer that a manifest's model names; None for a model of our own.

    >>> maker("peer:bm25:00d1c5bf4c1b3f2e"), maker("00d1c5bf4c1b3f2e")
    ('bm25', None)
    """
    return model.split(":")[1] if model.startswith(MADE_BY) else None
