"""Safetensors files whose bytes are the same in every process: the library writes metadata in a random order."""

import json
from collections.abc import Mapping
from pathlib import Path

from safetensors.torch import save_file
from torch import Tensor

from steerdose.files import replacing


def write_tensors(path: str | Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write contiguous tensors with metadata, whose keys stand in order."""
    with replacing(path) as temporary:
        save_file(dict(tensors), temporary, dict(metadata))
        with temporary.open("r+b") as file:
            length = int.from_bytes(file.read(8), "little")
            header = {**json.loads(file.read(length)), "__metadata__": dict(sorted(metadata.items()))}
            text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
            assert len(text) <= length, "the same header in another order"
            file.seek(8)
            file.write(text.ljust(length))
