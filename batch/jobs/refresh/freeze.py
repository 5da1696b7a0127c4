"""What a full run leaves for the refreshes after it."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from batch.data.facts import Facts
from batch.features.asof import Statics
from batch.features.popularity import post_scores
from batch.features.population import Population
from batch.jobs.assemble import Publication
from batch.jobs.refresh.digests import digest_inputs
from batch.jobs.refresh.frozen import FROZEN, Frozen, as_ids


def freeze(facts: Facts, known: Statics, full: Publication) -> Callable[[Path], None]:
    """Return what writes into a full run's folder all that later refreshes hold fast to."""
    counts, content, dense = full.counts, full.content, full.inputs.dense
    frozen = Frozen(
        as_of_s=counts.at_s,
        population=Population.of(counts, known.texts, counts.base_rate),
        codes=known.profiles.codes,
        texts=known.texts.map,
        embedded=facts.embeddings is not None,
        post_ids=content.post_ids,
        post_scores=post_scores(counts),
        popular=as_ids(content, content.popular),
        segments={name: as_ids(content, rows) for name, rows in content.segments.items()},
        profiles={name: as_ids(content, rows) for name, rows in content.profiles.items()},
        everybody=dense[0].mean(axis=0) if dense is not None else np.empty(0),
    )
    note = digest_inputs(facts)

    def keep(home: Path) -> None:
        frozen.save(home)
        note.save(home / FROZEN)

    return keep
