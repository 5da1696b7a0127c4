"""The scores of one list, as its generation's files keep them: the store has the order alone."""

import numpy as np
import pyarrow.parquet as pq

from api.contract.manifest import Manifest
from batch.publish.folder import GenerationFolder
from batch.publish.names import load_names


def read_scores(
    folder: GenerationFolder, manifest: Manifest, user_id: str, bucket_s: int
) -> dict[str, float]:
    """Return a user's list of a bucket with its scores: canonical ids of posts, best first.

    Empty where the files are gone, as those of old generations are, or hold no such list. Where refreshes
    have written a user's lists again, the newest counts.

    Args:
        folder: The generation's.
        manifest: The generation's.
        user_id: In canonical form.
        bucket_s: Start of the bucket, epoch seconds.
    """
    users, posts = load_names(folder, manifest)
    code = users.code_of(user_id)
    wanted = [("user_id", "==", code), ("bucket", "==", bucket_s)]
    files = [
        *sorted(folder.path.glob("changed-*.parquet"), reverse=True),
        *folder.path.glob("lists-*.parquet"),
    ]
    for path in files:
        found = pq.read_table(path, columns=["posts", "scores"], filters=wanted)
        if len(found):
            names = posts.canonical(np.array(found["posts"][0].as_py(), np.int64))
            return dict(zip(names, found["scores"][0].as_py(), strict=True))
    return {}
