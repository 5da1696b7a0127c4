"""The mappings that docs/data.md shows without data of their own read the forms that they name."""

import tomllib
from pathlib import Path

import numpy as np
import pytest

from batch.data.mapping import Mapping
from tests.data_rows import read_all
from tests.docs.pages import section

FILES = {
    "Books_5.json.gz": b'{"overall": 5.0, "reviewerID": "A1", "asin": "0001", "unixReviewTime": 1353456000}\n'
    b'{"overall": 3.0, "reviewerID": "A2", "asin": "0001", "unixReviewTime": 1353456001}\n',
    "meta_Books.json.gz": b'{"asin": "0001", "title": "Emma"}\n',
    "userid-timestamp-artid-artname-traid-traname.tsv": b'u_1\t2009-05-04T23:08:57Z\ta1\tDeep "D"\t\tF\n'
    b"u_1\t2009-05-04T13:54:10Z\ta2\tX\tt1\tG\n",
}


@pytest.mark.parametrize(("at", "targets"), [(0, [1, 0]), (1, [1, 1])])
def test_a_mapping_of_the_page_reads_its_form(tmp_path: Path, at: int, targets: list[int]) -> None:
    import gzip

    for name, content in FILES.items():
        (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    shown = [
        block for block in section("docs/data.md", "## Others that you may know") if block.language == "toml"
    ]

    facts = read_all(str(tmp_path), tmp_path, mapping=Mapping.from_toml(tomllib.loads(shown[at].text)))

    assert np.asarray(facts.target).tolist() == targets
    assert facts.shown == "choices"
