"""RecTools' models as the bench asks them, in the environment that RecTools needs: `make rectools`."""

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest

PYTHON = Path(__file__).parents[2] / ".rectools" / "bin" / "python"
SCRIPT = Path(__file__).parents[1] / "rectools_models.py"
N_USERS, N_POSTS = 40, 80
LEARNT = ["item_knn_cosine", "item_knn_tfidf", "item_knn_bm25", "als", "ease"]
pytestmark = pytest.mark.skipif(
    not PYTHON.exists(), reason="RecTools has no environment: `make rectools` makes it"
)


def test_its_models_find_a_plain_taste_and_give_a_stranger_what_is_popular() -> None:
    rng = np.random.default_rng(1)
    own = [rng.choice(np.arange(user % 2, N_POSTS, 2), 15, replace=False) for user in range(N_USERS)]
    likes = [[user, int(post), 1_640_000_000 + user] for user in range(N_USERS) for post in own[user]]
    given = {"likes": likes, "users": [2, 3, N_USERS], "names": ["popular", *LEARNT], "seed": 1}

    done = subprocess.run(
        [PYTHON, SCRIPT], input=json.dumps(given), capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert list(found) == given["names"]
    for name in LEARNT:
        even, odd, stranger = found[name]["lists"]
        assert {post % 2 for post in even[:10]} == {0}
        assert {post % 2 for post in odd[:10]} == {1}
        assert stranger == found["popular"]["lists"][2]
        assert sorted(even) == sorted({post for _, post, _ in likes})
