"""From the bytes of a body to the text of its document."""

BOM = b"\xef\xbb\xbf"
# .NET binary XML of <string xmlns="…">: short element, its name, short xmlns attribute, 51 = the namespace's length.
_WRAPPER = b"@\x06string\x083http://schemas.microsoft.com/2003/10/Serialization/"
_WRAPPER_WITHIN = 80
# Text records (MC-NBFX 2.2.3): the bytes that hold the length, little-endian. The odd ones end the element as well.
_TEXT_LENGTH_BYTES = {0x98: 1, 0x99: 1, 0x9A: 2, 0x9B: 2, 0x9C: 4, 0x9D: 4}


class ContextBroken(ValueError):
    """A body that says it is a RemoteExecutionContext isn't one; the text says what is wrong and where."""


def document_text(body: bytes) -> tuple[bytes, int]:
    """The document without byte order mark and legacy string wrapper, and the offset at which it begins."""
    start, end = _unwrapped(body)
    if body.startswith(BOM, start):
        start += len(BOM)
    return (body if (start, end) == (0, len(body)) else body[start:end]), start


def _unwrapped(body: bytes) -> tuple[int, int]:
    """Senders of old contracts serialised the text once more as a string; it stands in a binary XML text record."""
    if not body.startswith(b"@"):
        return 0, len(body)
    head = body[:_WRAPPER_WITHIN]
    if head.startswith(_WRAPPER) and (record := _text_record(body, len(_WRAPPER))) is not None:
        return record
    if b"string" in head and b"http://schemas.microsoft.com/2003/10/Serialization/" in head:
        brackets = [at for at in (body.find(b"{"), body.find(b"<")) if at >= 0]
        return min(brackets, default=0), len(body)
    return 0, len(body)


def _text_record(body: bytes, at: int) -> tuple[int, int] | None:
    """Where the text of the record at `at` begins and ends. Its length can hold a bracket's byte, so it is read."""
    width = _TEXT_LENGTH_BYTES.get(body[at]) if at < len(body) else None
    if width is None:
        return None
    start = at + 1 + width
    end = start + int.from_bytes(body[at + 1 : start], "little")
    return (start, end) if end <= len(body) else None
