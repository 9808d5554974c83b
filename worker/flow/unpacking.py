"""Compressed bodies, undone within bounds. aiohttp's own way takes a gzip that ends too early for a whole one."""

import zlib
from typing import Final

# zlib's window, by Content-Encoding. Other values ("utf-8" is a common one) name no compression and change nothing.
WINDOW_BITS: Final = {"gzip": 31, "x-gzip": 31, "deflate": 15}
RAW_DEFLATE_BITS: Final = -15
UNKNOWN_COMPRESSIONS: Final = frozenset({"br", "compress", "x-compress", "zstd"})


class Unpacking:
    """One body's."""

    def __init__(self, window_bits: int) -> None:
        self._window_bits = window_bits
        self._member = zlib.decompressobj(window_bits)
        self._is_begun = False

    @property
    def is_whole(self) -> bool:
        return self._member.eof or not self._is_begun

    def unpack(self, packed: bytes, most_bytes: int) -> bytes:
        """At most `most_bytes`; what goes beyond them is lost. Raises `zlib.error`."""
        if not self._is_begun:
            self._begin(packed)
        pieces: list[bytes] = []
        while packed and most_bytes > 0:
            if self._member.eof:
                self._member = zlib.decompressobj(self._window_bits)
            pieces.append(self._member.decompress(packed, most_bytes))
            most_bytes -= len(pieces[-1])
            packed = self._member.unused_data
        return b"".join(pieces)

    def _begin(self, packed: bytes) -> None:
        """Some servers send deflate without the zlib header, whose low four bits are 8."""
        self._is_begun = True
        if self._window_bits == WINDOW_BITS["deflate"] and packed[0] & 0xF != 8:
            self._window_bits = RAW_DEFLATE_BITS
            self._member = zlib.decompressobj(RAW_DEFLATE_BITS)
