"""Made folders in the form of public data sets: whoever has an even id takes even films, mostly."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyarrow import csv

DAY_S = 86_400
BEGIN_S = 1_420_070_400  # 2015-01-01
Ints = npt.NDArray[np.int64]


class Taken(NamedTuple):
    """Who took which film when, no pair twice, in order of time; int64 (events,) each, epoch seconds."""

    user: Ints
    film: Ints
    time: Ints


def take(n_events: int, n_users: int, n_films: int, days: int, seed: int = 1) -> Taken:
    """Draw events: few users take much, few films are taken by many, and both come over time.

    Args:
        n_events: At most so many; pairs that were drawn twice are one.
        n_users: Ids 1..n.
        n_films: Ids 1..n.
        days: From `BEGIN_S` on.
        seed: Of everything.
    """
    rng = np.random.default_rng(seed)
    active = rng.gamma(0.6, size=n_users)
    user = rng.choice(n_users, n_events, p=active / active.sum())
    half = n_films // 2
    fame = 1 / (10 + np.arange(half))
    own = rng.choice(half, n_events, p=fame / fame.sum()) * 2 + (user + (rng.random(n_events) < 0.1)) % 2
    _, first = np.unique(user * n_films + own, return_index=True)
    user, film = user[first], own[first]
    begin = rng.random(n_users)[user] * 0.9
    at = np.maximum(begin, 0.5 * film / n_films) + rng.random(len(user)) * (
        1 - np.maximum(begin, 0.5 * film / n_films)
    )
    time = BEGIN_S + (at * days * DAY_S).astype(np.int64)
    order = np.argsort(time, kind="stable")
    return Taken(user[order] + 1, film[order] + 1, time[order])


def write_movielens(folder: Path, taken: Taken) -> Path:
    """Write ratings.csv and movies.csv as MovieLens-20M has them."""
    stars = 0.5 + (taken.user * 7 + taken.film * 3) % 10 / 2
    _write(folder / "ratings.csv", userId=taken.user, movieId=taken.film, rating=stars, timestamp=taken.time)
    films = np.arange(1, taken.film.max() + 1)
    titles = [f"Film {n} ({1960 + n % 50})" for n in films]
    genres = [("Comedy|War", "Drama", "(no genres listed)")[n % 3] for n in films]
    _write(folder / "movies.csv", movieId=films, title=titles, genres=genres)
    return folder


def write_kion(folder: Path, taken: Taken) -> Path:
    """Write interactions.csv, users.csv and items.csv as KION has them: times are days."""
    share = (taken.user * 7 + taken.film * 3) % 101
    days = taken.time.astype("datetime64[s]").astype("datetime64[D]").astype(str)
    _write(
        folder / "interactions.csv",
        user_id=taken.user,
        item_id=taken.film,
        last_watch_dt=days,
        total_dur=share * 60,
        watched_pct=share.astype(np.float64),
    )
    users, films = np.arange(1, taken.user.max() + 1), np.arange(1, taken.film.max() + 1)
    _write(
        folder / "users.csv",
        user_id=users,
        age=[("age_25_34", "age_35_44")[n % 2] for n in users],
        income=["income_20_40"] * len(users),
        sex=[("М", "Ж")[n % 2] for n in users],
        kids_flg=users % 2,
    )
    _write(
        folder / "items.csv",
        item_id=films,
        content_type=[("film", "series")[n % 2] for n in films],
        title=[f"Фильм {n}" for n in films],
        genres=[("драмы, комедии", "боевики")[n % 2] for n in films],
        description=[f"О фильме {n % 9}" for n in films],
    )
    return folder


def _write(path: Path, **columns: object) -> None:
    csv.write_csv(pa.table(columns), path)
