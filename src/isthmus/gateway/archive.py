"""All outputs of a job as one ZIP file, made while it is sent: nothing is kept."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Sequence

from isthmus.files import FileStore
from isthmus.store.views import OutputView

CHUNK = 256 * 1024
_EPOCH = (1980, 1, 1, 0, 0, 0)
"""The same outputs give the same bytes; ZIP knows no earlier time."""


class _Sink:
    """Where zipfile writes: a stream that can't be gone back in."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def write(self, piece: bytes) -> int:
        self._pieces.append(bytes(piece))
        return len(piece)

    def flush(self) -> None:
        pass

    def take(self) -> bytes:
        pieces, self._pieces = self._pieces, []
        return b"".join(pieces)


def zip_pieces(files: FileStore, outputs: Sequence[OutputView]) -> Iterator[bytes]:
    """The ZIP file's bytes, each output under its path. NotFound: an output's bytes are gone."""
    sink = _Sink()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:  # type: ignore[call-overload]
        for output in outputs:
            entry = zipfile.ZipInfo(output.path, _EPOCH)
            entry.compress_type = zipfile.ZIP_DEFLATED
            with files.open(output.sha256) as source, archive.open(entry, "w", force_zip64=True) as member:
                while chunk := source.read(CHUNK):
                    member.write(chunk)
                    yield sink.take()
            yield sink.take()
    yield sink.take()
