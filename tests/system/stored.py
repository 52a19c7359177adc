"""Items with content of the tests' own."""

import os
from dataclasses import dataclass
from pathlib import Path

from tests.system.harness import Server


@dataclass(frozen=True)
class Stored:
    """An item whose file the tests fill as they like: its address and path."""

    address: str
    path: Path

    @classmethod
    def make(cls, server: Server, clip: Path, content: bytes) -> "Stored":
        address = server.add_media(clip)["file"]
        path = max((server.data_dir / "media" / "media").rglob("*.mp4"), key=os.path.getctime)
        path.write_bytes(content)
        return cls(address, path)
