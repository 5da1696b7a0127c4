"""A warm night: the model by weights and trees of the last training, kept in the state folder."""

import logging
from dataclasses import dataclass
from pathlib import Path

from api.contract.buckets import moment
from batch.data.facts import Facts
from batch.features import asof
from batch.jobs.refresh.digests import digest_posts
from batch.jobs.resume import digest_of_code, digest_of_source
from batch.learn.chosen import COMPARED, TREES, WEIGHT
from batch.learn.kept_fit import CannotRenew, KeptFit, count_likes
from batch.learn.recipe import Recipe
from batch.learn.train import Training
from batch.settings import Settings

log = logging.getLogger(__name__)

FOLDER = "estimates"  # in the state folder; a file a variant


@dataclass(frozen=True, slots=True)
class Start:
    """What a model is made from beside the facts: their description, and the fit that stands, if one does."""

    statics: asof.Statics
    kept: KeptFit | None


def choose_start(settings: Settings, facts: Facts, location: str, *, anew: bool) -> Start:
    """Describe the facts as at the last fit, where that can stand for tonight's; else anew.

    Args:
        settings: Of the run.
        facts: Tonight's.
        location: Where they come from.
        anew: A fit of its own is asked for.
    """
    try:
        kept, statics = _find(settings, facts, location, anew=anew)
    except CannotRenew as exc:
        log.info("estimates.chosen", extra={"renewed": False, "why": str(exc)})
        return Start(asof.describe(facts, settings.seed), None)
    about = {"fitted": moment(kept.fitted_s).isoformat(), "age_days": round(kept.age_days(facts.as_of_s), 3)}
    log.info("estimates.chosen", extra={"renewed": True, **about})
    return Start(statics, kept)


def keep_fit(
    settings: Settings, facts: Facts, location: str, statics: asof.Statics, training: Training
) -> None:
    """Keep what a training of all facts has found for the nights after it, in the place of the one before.

    Where it cannot be written that is logged: the next night fits anew.
    """
    if not settings.estimates_nights:
        return
    model, estimates = training.model, training.estimates
    kept = KeptFit(
        fitted_s=model.as_of_s,
        made_by=_made_by(settings, location),
        n_events=len(facts.time),
        n_likes=count_likes(facts),
        shown=facts.shown,
        zone=facts.zone,
        weights=estimates.weights,
        trees=model.text,
        share=model.metrics[f"{WEIGHT}{TREES}"],
        compared={name: value for name, value in model.metrics.items() if name.startswith(COMPARED)},
        parameters=model.parameters,
        begun=estimates.begun,
        post_ids=facts.post_ids,
        post_digests=digest_posts(facts)[:, 0],
        texts=statics.texts,
        embedded=facts.embeddings is not None,
        codes=statics.profiles.codes,
    )
    try:
        kept.save(_path(settings))
    except OSError as exc:
        log.warning("estimates.unkept", extra={"why": str(exc)})


def _find(settings: Settings, facts: Facts, location: str, *, anew: bool) -> tuple[KeptFit, asof.Statics]:
    """Return the fit that stands for tonight's, and the facts as it describes them.

    Raises:
        CannotRenew: None does.
    """
    if anew:
        raise CannotRenew("a new fit is asked for")
    if not settings.estimates_nights:
        raise CannotRenew("ALMANAC_ESTIMATES_NIGHTS is 0")
    kept = KeptFit.load(_path(settings))
    kept.require(facts, _made_by(settings, location), settings.estimates_nights)
    return kept, kept.describe(facts, digest_posts(facts)[:, 0])


def _made_by(settings: Settings, location: str) -> dict[str, str]:
    return {
        "settings": str(Recipe.of(settings)),
        "source of facts": digest_of_source(settings, location),
        "code": digest_of_code(),
    }


def _path(settings: Settings) -> Path:
    return settings.state_dir / FOLDER / f"{settings.variant}.npz"
