"""Inputs made of others: bytes flipped, taken out, repeated and spliced, lengths that lie, tokens of the format."""

import re
from collections.abc import Callable, Sequence
from random import Random
from typing import Final

LONGEST_BYTES: Final = 8192
_EDGES: Final = (0x00, 0x01, 0x7F, 0x80, 0xFE, 0xFF)
_SIZES: Final = (0, 1, 0x7F, 0xFF, 0x100, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
_NUMBERS: Final = (
    b"0",
    b"-1",
    b"128",
    b"2147483648",
    b"9223372036854775807",
    b"18446744073709551616",
    b"1e308",
    b"1e999999999999999999999",
    b"9" * 400,
    b"1" * 4400,
)
_DIGITS: Final = re.compile(rb"[0-9]+")

Mutation = Callable[[bytearray, Random, Sequence[bytes], Sequence[bytes]], None]


def mutated(data: bytes, random: Random, *, others: Sequence[bytes], tokens: Sequence[bytes]) -> bytes:
    """`others`: inputs to splice with."""
    changed = bytearray(data)
    for _ in range(random.choice((1, 1, 2, 3, 6))):
        random.choice(MUTATIONS)(changed, random, others, tokens)
    return bytes(changed[:LONGEST_BYTES])


def _flip_bit(data: bytearray, random: Random, _others: Sequence[bytes], _tokens: Sequence[bytes]) -> None:
    if data:
        data[random.randrange(len(data))] ^= 1 << random.randrange(8)


def _set_byte(data: bytearray, random: Random, _others: Sequence[bytes], _tokens: Sequence[bytes]) -> None:
    if data:
        data[random.randrange(len(data))] = random.choice((*_EDGES, random.randrange(256)))


def _take_out(data: bytearray, random: Random, _others: Sequence[bytes], _tokens: Sequence[bytes]) -> None:
    start, end = _span(data, random)
    del data[start:end]


def _cut_off(data: bytearray, random: Random, _others: Sequence[bytes], _tokens: Sequence[bytes]) -> None:
    del data[random.randrange(len(data) + 1) :]


def _repeat(data: bytearray, random: Random, _others: Sequence[bytes], _tokens: Sequence[bytes]) -> None:
    start, end = _span(data, random)
    times = random.choice((1, 1, 2, 40))
    data[end:end] = (data[start:end] * times)[:LONGEST_BYTES]


def _splice(data: bytearray, random: Random, others: Sequence[bytes], _tokens: Sequence[bytes]) -> None:
    if others:
        other = bytearray(random.choice(others))
        start, end = _span(other, random)
        at, until = _span(data, random)
        data[at : random.choice((at, until))] = other[start:end]


def _put_token(data: bytearray, random: Random, _others: Sequence[bytes], tokens: Sequence[bytes]) -> None:
    if tokens:
        at, until = _span(data, random)
        data[at : random.choice((at, until))] = random.choice(tokens)


def _swap_token(data: bytearray, random: Random, _others: Sequence[bytes], tokens: Sequence[bytes]) -> None:
    """One that is there for another."""
    there = [token for token in tokens if token and token in data]
    if there:
        old = random.choice(there)
        at = data.index(old)
        data[at : at + len(old)] = random.choice(tokens)


def _lie_about_size(data: bytearray, random: Random, _others: Sequence[bytes], _tokens: Sequence[bytes]) -> None:
    if not data:
        return
    at = random.randrange(len(data))
    if random.random() < 0.5:
        data[at] = (data[at] + random.choice((-1, 1, 2, 16))) % 256
    else:
        data[at : at + 4] = random.choice(_SIZES).to_bytes(4, "big")


def _change_number(data: bytearray, random: Random, _others: Sequence[bytes], _tokens: Sequence[bytes]) -> None:
    numbers = list(_DIGITS.finditer(data))
    if numbers:
        start, end = random.choice(numbers).span()
        data[start:end] = random.choice(_NUMBERS)


def _span(data: bytearray, random: Random) -> tuple[int, int]:
    """Short ones more often."""
    start = random.randrange(len(data) + 1)
    longest = random.choice((1, 4, 16, 64, LONGEST_BYTES))
    return start, min(len(data), start + random.randint(0, longest))


MUTATIONS: Final[tuple[Mutation, ...]] = (
    _flip_bit,
    _set_byte,
    _take_out,
    _cut_off,
    _repeat,
    _splice,
    _put_token,
    _put_token,
    _swap_token,
    _lie_about_size,
    _change_number,
)
