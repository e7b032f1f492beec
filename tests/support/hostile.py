"""JSON values that are made to cost much: deep, wide, long, and full of what has to be looked at one by one."""

from __future__ import annotations

from collections.abc import Callable

#: By its name, a function that makes the text of a value of about so many bytes.
Shape = Callable[[int], bytes]


def _list_of(*elements: str) -> Shape:
    """A list of these elements, over and over."""
    text = ",".join(elements)
    return lambda size: b"[%s]" % ",".join([text] * (size // (len(text) + 1))).encode()


def _object_of(key: str, value: str = "1") -> Shape:
    """An object with many keys; each has a number in it, if ``key`` has a place for one."""

    def make(size: int) -> bytes:
        count = size // (len(key % 100_000 if "%" in key else key) + len(value) + 4)
        members = (f'"{key % number if "%" in key else key}":{value}' for number in range(count))
        return b"{%s}" % ",".join(members).encode()

    return make


def _string_of(text: str) -> Shape:
    return lambda size: b'"%s"' % (text * (size // len(text.encode()))).encode()


def _nested(opening: str, closing: str, depth: int | None = None) -> Shape:
    """One value within another; with a depth, a list of many such values."""
    width = len(opening) + len(closing)
    if depth is None:
        return lambda size: b"%s1%s" % ((opening * (size // width)).encode(), (closing * (size // width)).encode())
    return _list_of(opening * depth + "1" + closing * depth)


SHAPES: dict[str, Shape] = {
    "numbers": _list_of("1"),
    "numbers and text": _list_of("1", '"a"'),
    "fractions": _list_of("0.1234567890123456"),
    "exponents": _list_of("1e300"),
    "infinities": _list_of("1e999"),
    "long numbers": _list_of("9" * 4000),
    "a long number": lambda size: b"9" * size,
    "empty lists": _list_of("[]"),
    "empty objects": _list_of("{}"),
    "empty strings": _list_of('""'),
    "nulls": _list_of("null"),
    "true and false": _list_of("true", "false"),
    "moments": _list_of('"2026-01-02T03:04:05Z"'),
    "typed values": _list_of('{"__type__":"bytes","__value__":"a"}'),
    "typed values in disguise": _list_of('{"\\\\u005f_type__":1}'.replace("\\\\", "\\")),
    "what looks like typed values": _list_of('"__type__"', "{}", "[]", "1"),
    "leaves": _list_of('{"name":"a"}'),
    "deep lists": _nested("[", "]"),
    "deep objects": _nested('{"a":', "}"),
    "nested lists": _nested("[", "]", 100),
    "nested objects": _nested('{"a":', "}", 100),
    "chains": _nested('{"chain":[', "]}", 14),
    "deeper chains": _nested('{"chain":[', "]}", 80),
    "trees": _nested('{"name":"a","parts":[', "]}", 60),
    "tree of trees": lambda size: b'{"name":"a","parts":%s}' % _nested('{"name":"a","parts":[', "]}", 60)(size),
    "a tree of leaves": lambda size: b'{"name":"a","parts":%s}' % _list_of('{"name":"a"}')(size),
    "many keys": _object_of("k%d"),
    "many nested keys": _object_of("k%d", "{}"),
    "long keys": _object_of("k" * 1000 + "%d"),
    "equal keys": _object_of("k"),
    "empty keys": _object_of(""),
    "args again": _object_of("args", "[]"),
    "a long key": lambda size: b'{"%s":1}' % (b"k" * size),
    "a long string": _string_of("a"),
    "escapes": _string_of("\\u0041"),
    "escaped pairs": _string_of("\\ud83d\\ude00"),
    "line ends": _string_of("\\n"),
    "quotes": _string_of('\\"'),
    "NaN": _string_of("NaN"),
    "a moment that does not end": _string_of("2026-01-02T03:04:05."),
    "blanks": lambda size: b" " * size,
    "no bytes of UTF-8": lambda size: b'"%s"' % (b"\xff" * size),
    "signs": _string_of("\u20ac"),
}
