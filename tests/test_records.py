"""Records: bounded lines, encodings, and going on after what cannot be read."""

from __future__ import annotations

import codecs
import io
import tracemalloc
from pathlib import Path

import pytest

from index.feeds.records import MAX_LINE, Record, read_records
from vision.errors import FeedError


def table(data: bytes | str) -> list[Record]:
    raw = data.encode() if isinstance(data, str) else data
    return list(read_records(io.BufferedReader(io.BytesIO(raw)), is_json=False))  # type: ignore[type-var]


def json_lines(data: bytes | str) -> list[Record]:
    raw = data.encode() if isinstance(data, str) else data
    return list(read_records(io.BufferedReader(io.BytesIO(raw)), is_json=True))  # type: ignore[type-var]


@pytest.mark.parametrize("sign", [",", ";", "\t"])
def test_the_separator_is_found_in_the_header(sign: str) -> None:
    records = table(f'id{sign}image{sign}"a,b;c"\n1{sign}"x;y,z"{sign}\n')
    assert [record.values for record in records] == [
        ["id", "image", "a,b;c"],
        ["1", "x;y,z", ""],
    ]


def test_line_numbers_are_physical() -> None:
    records = table('\n\nid,text\n1,"two\nlines"\n\n2,b\r\n3,c')
    assert [record.line for record in records] == [3, 4, 7, 8]
    assert records[1].values == ["1", "two\nlines"]


def test_old_line_ends() -> None:
    assert [record.values for record in table("id,b\r1,2\r3,4")] == [
        ["id", "b"],
        ["1", "2"],
        ["3", "4"],
    ]


@pytest.mark.parametrize(
    ("mark", "encoding"),
    [
        (b"", "utf-8"),
        (codecs.BOM_UTF8, "utf-8"),
        (codecs.BOM_UTF16_LE, "utf-16-le"),
        (codecs.BOM_UTF16_BE, "utf-16-be"),
    ],
)
def test_encodings(mark: bytes, encoding: str) -> None:
    records = table(mark + "id,t\n1,größe 茶 😀\n".encode(encoding))
    assert [record.values for record in records] == [["id", "t"], ["1", "größe 茶 😀"]]
    (record,) = json_lines(mark + '{"id": "茶"}\n'.encode(encoding))
    assert record.values == [{"id": "茶"}]


def test_a_row_that_is_not_utf8_is_the_only_one_lost() -> None:
    records = table(b"id,t\n1,gr\xf6\xdfe\n2,ok\n")
    assert [(record.line, record.fault[:9]) for record in records] == [
        (1, ""),
        (2, "not UTF-8"),
        (3, ""),
    ]
    first, second = json_lines(b'{"id": "\xf6"}\n{"id": "2"}\n')
    assert first.fault.startswith("not UTF-8")
    assert second.values == [{"id": "2"}]


def test_damaged_utf16() -> None:
    lone = b"\x00\xd8"  # half of a surrogate pair
    data = (
        codecs.BOM_UTF16_LE + "id,t\n1,".encode("utf-16-le") + lone + "\n2,b\n".encode("utf-16-le")
    )
    assert [record.fault[:9] for record in table(data + b"x")] == ["", "not UTF-8", "", "not UTF-8"]


def test_utf32_is_refused() -> None:
    with pytest.raises(FeedError, match="UTF-32"):
        table("id,t\n".encode("utf-32"))


def test_nul_bytes_cost_one_row() -> None:
    records = table("id,t\n1,a\0b\n2,b\n")
    assert [(record.line, record.fault[:9]) for record in records] == [
        (1, ""),
        (2, "holds NUL"),
        (3, ""),
    ]


@pytest.mark.parametrize("data", ["", "\n\n", codecs.BOM_UTF8, codecs.BOM_UTF16_LE])
def test_an_empty_table(data: str | bytes) -> None:
    with pytest.raises(FeedError, match="empty"):
        table(data)


def test_an_unclosed_quote_costs_its_own_row_only() -> None:
    records = table('id,t\n1,a\n2,"open\n3,c\n4,"d"\n5,e\n')
    assert [record.values[:1] for record in records if not record.fault] == [
        ["id"], ["1"], ["3"], ["4"], ["5"],
    ]  # fmt: skip
    (fault,) = [record for record in records if record.fault]
    assert fault.line == 3


def test_an_unclosed_quote_that_nothing_closes() -> None:
    rows = "".join(f"{number},x\n" for number in range(100_000))
    records = table('id,t\n0,"open\n' + rows)
    assert len(records) == 100_002
    (fault,) = [record for record in records if record.fault]
    assert (fault.line, "closed" in fault.fault) == (2, True)


def test_a_feed_of_nothing_but_open_quotes_ends() -> None:
    records = table("id,t\n" + 'x",y,"z\n' * 300_000)  # each line closes one and opens another
    assert records[-1].fault
    assert "passed over with it" in records[-1].fault


def test_no_record_is_longer_than_a_line_may_be() -> None:
    raw = io.BytesIO(b"id,t\n" + b'x",y,"z\n' * 1_000_000)
    records = read_records(io.BufferedReader(raw), is_json=False)  # type: ignore[type-var]
    assert next(records).values == ["id", "t"]
    assert not next(records).values
    assert raw.tell() < 2 * MAX_LINE
    records.close()


def test_a_stray_quote_is_not_guessed_at() -> None:
    records = table('id,t\n1,"5" nail"\n2,"5"" nail"\n3,5" nail\n')
    assert [record.values for record in records if not record.fault][1:] == [
        ["2", '5" nail'],
        ["3", '5" nail'],
    ]
    assert (records[1].line, "write it twice" in records[1].fault) == (2, True)


def test_a_text_over_the_limit_of_csv() -> None:
    records = table("id,t\n1," + "x" * 200_000 + "\n2,b\n")
    assert (records[1].line, "131,072" in records[1].fault) == (2, True)
    assert records[2] == Record(3, ["2", "b"])


@pytest.mark.parametrize("is_json", [False, True])
def test_a_line_of_20_mb_is_never_held(tmp_path: Path, is_json: bool) -> None:
    feed = tmp_path / "feed"
    feed.write_bytes(b"id,t\n" + b"x" * 20_000_000 + b'\n{"a": 1}\n')
    tracemalloc.start()
    try:
        with feed.open("rb") as raw:
            records = list(read_records(raw, is_json=is_json))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert [(record.line, "longer than" in record.fault) for record in records[1:]] == [
        (2, True),
        (3, False),
    ]
    assert peak < 10 * MAX_LINE


def test_an_over_long_header() -> None:
    with pytest.raises(FeedError, match="longer than"):
        table("x" * 2 * MAX_LINE)


def test_formula_cells_are_unquoted() -> None:
    assert table("id,t\n'=1,'tis\n")[1].values == ["=1", "'tis"]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("[1, 2]", "not a JSON object"),
        ('"text"', "not a JSON object"),
        ("null", "not a JSON object"),
        ("{'id': 1}", "bad JSON"),
        ('{"id": 1} {"id": 2}', "bad JSON"),
        ('{"id": 1, "id": 2}', "twice"),
        ('{"id": NaN}', "NaN"),
        ('{"id": -Infinity}', "Infinity"),
        ("[" * 100_000, "deep"),
        ('{"a":' * 100_000, "deep"),
        ('{"id": ' + "9" * 5000 + "}", "bad JSON"),
        ('{"id": "a\0b"}', "NUL"),
    ],
)
def test_bad_json_lines(line: str, reason: str) -> None:
    bad, good = json_lines(f'{line}\n\n{{"id": "2"}}')
    assert (bad.line, good) == (1, Record(3, [{"id": "2"}]))
    assert reason in bad.fault


def test_a_feed_that_breaks_off() -> None:
    class Broken(io.RawIOBase):
        """A few rows, and then a disk that fails."""

        pieces = iter([b"id,t\n1,a\n2,b\n"])

        def readable(self) -> bool:
            return True

        def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
            piece = next(self.pieces, None)
            if piece is None:
                raise OSError(5, "Input/output error")
            buffer[: len(piece)] = piece
            return len(piece)

    records = list(read_records(io.BufferedReader(Broken()), is_json=False))
    assert records[-1].line >= 2
    assert "breaks off" in records[-1].fault
