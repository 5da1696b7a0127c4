"""Posts in a file that several processes map: the same as a dictionary of them."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.store.texts import MappedPosts, write

NUMBERS = st.integers(min_value=-20, max_value=60)
TEXTS = st.dictionaries(NUMBERS, st.binary(min_size=1, max_size=9), min_size=1)


@given(texts=TEXTS, gone=st.sets(NUMBERS))
def test_mapped_posts_are_those_written_but_those_that_are_gone(
    tmp_path_factory: pytest.TempPathFactory, texts: dict[int, bytes], gone: set[int]
) -> None:
    path = tmp_path_factory.getbasetemp() / "1-2.posts"
    write(path, texts)

    mapped = MappedPosts(path)

    assert mapped == texts
    left = {post: text for post, text in texts.items() if post not in gone}
    assert mapped.without(gone) == mapped.without(()).without(gone) == left
    assert all((post in mapped.without(gone)) == (post in left) for post in range(-25, 70))
    assert len(mapped) == len(texts)
    assert len(mapped.without(gone)) == len(left)


@pytest.mark.parametrize("post", [0, 2, 4, -(2**70)])
def test_a_number_without_a_post_is_a_key_error(tmp_path: Path, post: int) -> None:
    write(tmp_path / "posts", {1: b"one", 3: b"three"})

    with pytest.raises(KeyError):
        MappedPosts(tmp_path / "posts")[post]
