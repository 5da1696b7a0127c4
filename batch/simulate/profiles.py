"""Who the users are: ids and profiles with the published marginals."""

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from batch.simulate.config import WorldConfig

Ints = npt.NDArray[np.int64]

_FIRST_ID, _N_IDS, _N_USERS = 200, 168_353, 163_205  # published: ids 200..168552, some unused
_GENDER_1 = 0.565  # share among the 1,015 known profiles
_EXP_GROUP = (32_723, 32_638, 32_614, 32_768, 32_462)
_OS = {"Android": 105_972, "iOS": 57_233}
_SOURCE = {"ads": 101_685, "organic": 61_520}
COUNTRIES = {
    "Russia": 143_035,
    "Ukraine": 8_273,
    "Belarus": 3_293,
    "Kazakhstan": 3_172,
    "Turkey": 1_606,
    "Finland": 1_599,
    "Azerbaijan": 1_542,
    "Estonia": 178,
    "Latvia": 175,
    "Cyprus": 170,
    "Switzerland": 162,
}
_N_CITIES = {
    "Russia": 2_262,
    "Ukraine": 836,
    "Belarus": 108,
    "Kazakhstan": 58,
    "Turkey": 156,
    "Finland": 222,
    "Azerbaijan": 63,
    "Estonia": 29,
    "Latvia": 2,
    "Cyprus": 1,
    "Switzerland": 1,
}
_TOP_CITIES = {  # of Russia
    "Moscow": 21_874,
    "Saint Petersburg": 6_904,
    "Novosibirsk": 1_987,
    "Yekaterinburg": 1_924,
    "Nizhniy Novgorod": 1_632,
}
# Age by share of users who are younger: quartiles, least and most are published, the rest are known profiles.
_AGE = (
    (0.0, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.999, 1.0),
    (14.0, 16.3, 17.3, 19.7, 24.5, 33.4, 42.3, 48.0, 58.5, 68.0, 96.0),
)
_SYLLABLES = (
    *("an", "ber", "dar", "el", "gor", "ist", "kam", "lo", "mir", "nov"),
    *("ol", "pet", "rad", "sel", "tur", "ust", "ver", "yar", "zel", "kra"),
)
_ENDINGS = ("sk", "ovo", "grad", "ino", "yevka", "burg", "a", "insk", "tau", "emi")  # 20 × 20 × 10 names


def user_table(config: WorldConfig) -> pa.Table:
    """Return `user_data`: user_id, gender, age, country, city, exp_group, os, source; user ids ascending."""
    rng, n = config.rng("profiles"), config.n_users
    country = _draw(rng, COUNTRIES.values(), n)
    columns = {
        "user_id": _user_ids(rng, n),
        "gender": (rng.random(n) < _GENDER_1).astype(np.int64),
        "age": np.interp(rng.random(n), *_AGE).astype(np.int64),
        "country": _labels(COUNTRIES, country),
        "city": _cities(rng, country),
        "exp_group": _draw(rng, _EXP_GROUP, n),
        "os": _labels(_OS, _draw(rng, _OS.values(), n)),
        "source": _labels(_SOURCE, _draw(rng, _SOURCE.values(), n)),
    }
    return pa.table(columns)


def _user_ids(rng: np.random.Generator, n: int) -> Ints:
    """Return `n` ids ascending, spread over the original's range, which grows when `n` outgrows it."""
    n_ids = max(_N_IDS, -(-n * _N_IDS // _N_USERS))
    return np.sort(_FIRST_ID + rng.choice(n_ids, n, replace=False, shuffle=False))


def _draw(rng: np.random.Generator, weights: Iterable[float], n: int) -> Ints:
    shares = np.cumsum(np.fromiter(weights, np.float64))
    return np.searchsorted(shares / shares[-1], rng.random(n), side="right").astype(np.int64)


def _labels(names: Iterable[str], codes: Ints) -> pa.Array:
    return pa.DictionaryArray.from_arrays(pa.array(codes, pa.int32()), list(names)).cast(pa.string())


def _cities(rng: np.random.Generator, country: Ints) -> pa.Array:
    """Return each user's city: as many a country as published, their sizes falling slowly with rank."""
    names: list[str] = []
    codes = np.empty(len(country), np.int64)
    for code, name in enumerate(COUNTRIES):
        top = _TOP_CITIES if name == "Russia" else {}
        n_towns = _N_CITIES[name] - len(top)
        towns = 1.0 / (np.arange(n_towns) + 60)
        towns *= (COUNTRIES[name] - sum(top.values())) / towns.sum()
        mine = np.flatnonzero(country == code)
        codes[mine] = len(names) + _draw(rng, [*top.values(), *towns], len(mine))
        names += [*top, *_town_names(n_towns, first=len(names))]
    return _labels(names, codes)


def _town_names(n: int, first: int) -> list[str]:
    """Return `n` made-up names, a different one for each number from `first` on."""
    numbers = range(first, first + n)
    k, m = len(_SYLLABLES), len(_ENDINGS)
    return [
        (_SYLLABLES[i % k] + _SYLLABLES[i // k % k] + _ENDINGS[i // k // k % m]).capitalize() for i in numbers
    ]
