"""The safetensors header: every lie is refused by name, and what is accepted the format's own library accepts too."""

from __future__ import annotations

import json
import re
import struct
from pathlib import Path
from typing import Any

import pytest
import safetensors
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from swindex.crawler.checkpoint.header import DTYPES, TensorInfo, header_length, parse_header
from swindex.crawler.checkpoint.local import LocalCheckpoint
from swindex.crawler.refusal import Refusal
from swindex.schema.types import Outcome

from .hostile.make import FOLDER, LIES, ONE, entry, pack, readme

FILE = "model.safetensors"


def ours(content: bytes) -> dict[str, TensorInfo]:
    """The tensors as the crawler sees them; raise Refusal."""
    length = header_length(content[:8], FILE, len(content))
    return parse_header(content[8 : 8 + length], FILE, len(content))


def library(content: bytes) -> dict[str, tuple[str, list[int], bytes]]:
    """Dtype, shape and bytes by name, as the format's own library sees them; raise SafetensorError."""
    found = safetensors.deserialize(content)
    return {name: (t["dtype"], list(t["shape"]), bytes(t["data"])) for name, t in found}


def described(content: bytes, tensors: dict[str, TensorInfo]) -> dict[str, tuple[str | None, list[int], bytes]]:
    return {n: (t.dtype, list(t.shape), content[t.start : t.end]) for n, t in tensors.items()}


def names(found: dict[str, tuple[str, list[int], bytes]]) -> dict[str, tuple[str | None, list[int], bytes]]:
    return {n: (DTYPES[dtype][1], shape, data) for n, (dtype, shape, data) in found.items()}


def accepted_by_library(content: bytes) -> bool:
    try:
        library(content)
    except safetensors.SafetensorError:
        return False
    return True


# --- lies ---


@pytest.mark.parametrize("name", LIES)
def test_a_hostile_file_is_refused_with_its_name(name: str) -> None:
    content = (FOLDER / f"{name}.safetensors").read_bytes()

    with pytest.raises(Refusal) as caught:
        ours(content)

    assert caught.value.outcome is Outcome.CORRUPT
    assert str(caught.value).startswith(f"{FILE}: ")
    assert LIES[name].message in str(caught.value)


@pytest.mark.parametrize("name", LIES)
def test_where_we_differ_from_the_library_is_written_down(name: str) -> None:
    assert accepted_by_library(LIES[name].content) is LIES[name].library_accepts


def test_the_hostile_files_are_those_that_are_argued() -> None:
    held = {path.name: path.read_bytes() for path in FOLDER.glob("*.safetensors")}

    assert held == {f"{name}.safetensors": lie.content for name, lie in LIES.items()}
    assert (FOLDER / "README.md").read_text() == readme()


@pytest.mark.parametrize("name", LIES)
def test_a_message_can_be_printed_anywhere(name: str) -> None:
    with pytest.raises(Refusal) as caught:
        ours(LIES[name].content)

    assert str(caught.value).isprintable()
    assert len(str(caught.value)) <= 1000


def test_a_name_of_a_megabyte_is_not_repeated() -> None:
    with pytest.raises(Refusal) as caught:
        ours(pack({"a" * 1_000_000: entry(0, 4)}, bytes(4)))

    assert len(str(caught.value)) < 300


def test_a_shape_of_a_million_sizes_is_not_repeated() -> None:
    with pytest.raises(Refusal) as caught:
        ours(pack({"a": entry(0, 4, "U8", [1] * 1_000_000)}, bytes(4)))

    assert len(str(caught.value)) < 300


def test_a_dtype_nested_to_the_limit_of_the_parser_is_refused() -> None:
    for depth in range(800, 1000):
        with pytest.raises(Refusal):
            ours(pack(ONE.replace(b'"U8"', b"[" * depth + b"]" * depth), bytes(4)))


def test_nothing_is_read_for_a_header_that_the_file_cannot_hold(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(LIES["header-of-100-megabytes"].content)
    checkpoint = LocalCheckpoint(tmp_path)

    with pytest.raises(Refusal, match="claims 100000000 bytes"):
        _ = checkpoint.tensors

    assert checkpoint.meter.bytes == 10


# --- what is no lie ---


@pytest.mark.parametrize(
    "padding", [b"", b" ", b" " * 5000, b"\n", b"\t\r\n "], ids=["none", "one", "many", "line", "mixed"]
)
def test_a_header_may_end_in_white_space(padding: bytes) -> None:
    content = pack(ONE + padding, b"abcd")

    assert described(content, ours(content)) == names(library(content)) == {"a": ("uint8", [4], b"abcd")}


def test_a_file_without_tensors_has_none() -> None:
    assert ours(pack({})) == library(pack({})) == {}


def test_metadata_is_no_tensor() -> None:
    content = pack({"__metadata__": {"format": "pt", "note": "two\nlines"}, "a": entry(0, 1)}, b"x")

    assert list(ours(content)) == ["a"]


def test_empty_tensors_may_share_a_position() -> None:
    content = pack({"z": entry(2, 2), "a": entry(0, 2), "b": entry(2, 2, "F32", [3, 0]), "c": entry(2, 4)}, b"wxyz")

    assert described(content, ours(content)) == {
        "z": ("uint8", [0], b""),
        "a": ("uint8", [2], b"wx"),
        "b": ("float32", [3, 0], b""),
        "c": ("uint8", [2], b"yz"),
    }
    assert described(content, ours(content)) == names(library(content))


def test_an_empty_tensor_inside_another_is_refused_as_by_the_library() -> None:
    content = pack({"a": entry(0, 4), "b": entry(2, 2)}, bytes(4))

    with pytest.raises(Refusal, match=r"tensor 'b' overlaps"):
        ours(content)
    assert not accepted_by_library(content)


def test_tensors_may_stand_in_any_order() -> None:
    content = pack({"b": entry(2, 4), "a": entry(0, 2)}, b"wxyz")

    assert described(content, ours(content)) == {"b": ("uint8", [2], b"yz"), "a": ("uint8", [2], b"wx")}


def test_a_scalar_has_no_axes() -> None:
    content = pack({"a": entry(0, 4, "F32", [])}, bytes(4))

    [info] = ours(content).values()

    assert (info.shape, info.elements, info.size) == ((), 1, 4)


def test_positions_count_from_the_start_of_the_file() -> None:
    content = pack({"a": entry(0, 2), "b": entry(2, 4)}, b"wxyz")

    assert [content[t.start : t.end] for t in ours(content).values()] == [b"wx", b"yz"]


@pytest.mark.parametrize(("dtype", "elements", "size"), [("F4", 6, 3), ("F6_E2M3", 4, 3), ("F6_E3M2", 8, 6)])
def test_elements_smaller_than_a_byte_are_packed(dtype: str, elements: int, size: int) -> None:
    content = pack({"a": entry(0, size, dtype, [elements])}, bytes(size))

    [info] = ours(content).values()

    assert (info.dtype, info.elements, info.size) == (None, elements, size)
    assert accepted_by_library(content)


# --- dtypes ---


def test_the_dtypes_are_those_of_the_library() -> None:
    with pytest.raises(safetensors.SafetensorError) as caught:
        library(pack({"a": entry(0, 4, "none")}, bytes(4)))

    known = re.findall(r"`(\w+)`", str(caught.value).partition("expected one of")[2])
    assert sorted(DTYPES) == sorted(known)


@pytest.mark.parametrize("dtype", DTYPES)
def test_an_element_has_as_many_bits_as_in_the_library(dtype: str) -> None:
    size = DTYPES[dtype][0]
    right, wrong = (pack({"a": entry(0, n, dtype, [8])}, bytes(n)) for n in (size, size + 1))

    assert accepted_by_library(right)
    assert not accepted_by_library(wrong)
    assert ours(right)["a"].bits == size


@pytest.mark.parametrize("dtype", [d for d in DTYPES if DTYPES[d][1]])
def test_torch_has_the_dtype_in_the_same_width(dtype: str) -> None:
    bits, name = DTYPES[dtype]

    assert getattr(torch, str(name)).itemsize * 8 == bits


@pytest.mark.parametrize("dtype", [d for d in DTYPES if DTYPES[d][1]])
def test_the_library_gives_torch_the_same_dtype(dtype: str, tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(pack({"a": entry(0, 8, dtype, [64 // DTYPES[dtype][0]])}, bytes(8)))

    with safetensors.safe_open(tmp_path / FILE, "pt") as file:
        assert file.get_tensor("a").dtype == getattr(torch, str(DTYPES[dtype][1]))


# --- against the library ---

COUNTS = st.one_of(st.integers(0, 12), st.integers(-2, 40), st.sampled_from([1 << 32, 1 << 40, 1 << 63, 1 << 64]))
ODDS = st.sampled_from([None, True, 1.0, -0.0, "4", [], {}, [[1]], 1e300])
SHAPES = st.one_of(st.lists(st.integers(0, 4), max_size=3), st.lists(st.one_of(COUNTS, ODDS), max_size=4), ODDS)
TEXTS = st.one_of(st.sampled_from(["a", "b", "model.norm.weight", "__metadata__", ""]), st.text(max_size=6))


@st.composite
def honest(draw: st.DrawFn) -> bytes:
    """A file that tells the truth."""
    header: dict[str, Any] = {}
    at = 0
    for name in draw(st.lists(st.text("abc.0", min_size=1, max_size=5), unique=True, max_size=4)):
        dtype = draw(st.sampled_from([d for d in DTYPES if DTYPES[d][0] >= 8]))
        shape = draw(st.lists(st.integers(0, 3), max_size=3))
        size = DTYPES[dtype][0] // 8 * int(torch.Size(shape).numel())
        header[name] = entry(at, at + size, dtype, shape)
        at += size
    if draw(st.booleans()):
        header["__metadata__"] = draw(st.dictionaries(st.text(max_size=3), st.text(max_size=3), max_size=2))
    order = draw(st.permutations(list(header)))
    text = json.dumps({name: header[name] for name in order}, ensure_ascii=draw(st.booleans())).encode()
    return pack(text + b" " * draw(st.integers(0, 9)), draw(st.binary(min_size=at, max_size=at)))


@st.composite
def crafted(draw: st.DrawFn) -> bytes:
    """A file whose header is JSON of about the right kind."""
    part = st.fixed_dictionaries(
        {"dtype": st.one_of(st.sampled_from([*DTYPES, "F5"]), ODDS), "shape": SHAPES},
        optional={
            "data_offsets": st.one_of(st.lists(COUNTS, min_size=2, max_size=2), ODDS),
            "more": ODDS,
        },
    )
    header = draw(st.dictionaries(TEXTS, st.one_of(part, ODDS), max_size=3))
    text = json.dumps(header, ensure_ascii=draw(st.booleans())).encode("utf-8", "replace")
    return pack(text, draw(st.binary(max_size=16)))


@st.composite
def bent(draw: st.DrawFn) -> bytes:
    """An honest file of which a few bytes were replaced, dropped, doubled or added."""
    content = bytearray(draw(honest()))
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(content)))
        kind = draw(st.sampled_from(["flip", "drop", "put", "double"]))
        if kind == "flip" and at < len(content):
            content[at] ^= 1 << draw(st.integers(0, 7))
        elif kind == "drop":
            del content[at : at + draw(st.integers(1, 4))]
        elif kind == "double":
            content[at:at] = content[max(0, at - draw(st.integers(1, 30))) : at]
        else:
            content[at:at] = draw(st.sampled_from([b" ", b"-", b"0", b"1", b",", b"[", b'"', b"\\", b"\0", b"e", b"."]))
    if draw(st.booleans()) and len(content) >= 8:
        content[:8] = struct.pack("<Q", max(0, content.rfind(b"}") + 1 - 8))
    return bytes(content)


def refusal_of(content: bytes) -> Refusal | None:
    """Why we refuse a file; None if we take it."""
    try:
        ours(content)
    except Refusal as refusal:
        return refusal
    return None


@settings(max_examples=300, deadline=None)
@given(honest())
def test_what_is_honest_is_read_as_the_library_reads_it(content: bytes) -> None:
    assert described(content, ours(content)) == names(library(content))


@settings(max_examples=600, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@example(pack(ONE.replace(b"[4]", b"[-0]").replace(b"[0,4]", b"[0,0]")))
@example(pack({"a": entry(0, 0, "U8", [1 << 40, 1 << 40, 0])}))
@given(st.one_of(crafted(), bent(), st.binary(max_size=40)))
def test_what_the_library_refuses_is_refused(content: bytes) -> None:
    refusal = refusal_of(content)

    if refusal is None:
        assert described(content, ours(content)) == names(library(content))
    else:
        assert refusal.outcome is Outcome.CORRUPT


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.one_of(crafted(), bent()))
def test_what_the_library_takes_is_refused_only_for_a_reason_on_the_list(content: bytes) -> None:
    refusal = refusal_of(content)

    if refusal is not None and accepted_by_library(content):
        assert re.search(STRICTER, str(refusal))


STRICTER = (
    "duplicate key|needs exactly dtype, shape and data_offsets|a name must be printable|header begins with"
    "|__metadata__ must map|beyond any file|unknown dtype {|is not a list of sizes"
)
"""Every reason to refuse what the library takes. The last is for sizes over 2**40 and for more than sixteen axes."""
