"""The ids behind the codes of a generation's files, beside them: folders outlast the store's numbers."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from api.contract.ids import Kind
from api.contract.manifest import Manifest
from batch.arrays import Ints
from batch.data.ids import IdNames
from batch.publish.folder import GenerationFolder
from batch.publish.generation import GenerationContent


def save_names(folder: GenerationFolder, content: GenerationContent) -> None:
    """Write what the codes of users and posts stand for; no file where each stands for itself."""
    save_user_names(folder, content)
    save_post_names(folder, content)


def save_user_names(folder: GenerationFolder, content: GenerationContent) -> None:
    """Write what the codes of users stand for."""
    _save(folder.user_names, content.user_names, content.user_ids)


def save_post_names(folder: GenerationFolder, content: GenerationContent) -> None:
    """Write what the codes of posts stand for."""
    _save(folder.post_names, content.post_names, content.post_ids)


def load_names(folder: GenerationFolder, manifest: Manifest) -> tuple[IdNames, IdNames]:
    """Read the names of users and of posts; `manifest` is the generation's."""
    return load_user_names(folder, manifest), load_post_names(folder, manifest)


def load_user_names(folder: GenerationFolder, manifest: Manifest) -> IdNames:
    """Read the names of users."""
    return _load(folder.user_names, manifest.user_ids)


def load_post_names(folder: GenerationFolder, manifest: Manifest) -> IdNames:
    """Read the names of posts."""
    return _load(folder.post_names, manifest.post_ids)


def _save(path: Path, names: IdNames, ids: Ints) -> None:
    own = names.where(ids)
    if len(own.codes):
        pq.write_table(pa.table({"code": own.codes, "id": own.texts}), path, compression="zstd")


def _load(path: Path, kind: Kind) -> IdNames:
    if not path.is_file():
        return IdNames(kind)
    table = pq.read_table(path)
    return IdNames(kind, table["code"].to_numpy(), table["id"].combine_chunks())
