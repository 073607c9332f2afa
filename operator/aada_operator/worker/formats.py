"""How COPY writes rows: as text, or as binary, which is smaller and faster where every server reads it alike."""

from dataclasses import dataclass

from aada_operator.api.manifest import RowFormat

# Their binary form has nothing in it that belongs to one server, as the OIDs in arrays and rows, and has not changed
# since PostgreSQL 8.4.
PLAIN_TYPES = (
    "bool", "int2", "int4", "int8", "float4", "float8", "numeric", "text", "varchar", "bpchar", "bytea", "json",
    "jsonb", "uuid", "date", "time", "timetz", "timestamp", "timestamptz", "interval", "inet", "cidr",
)  # fmt: skip


@dataclass(frozen=True)
class Frame:
    """What COPY writes before and after the rows of one statement; parts hold the rows alone, so that they add up."""

    format: RowFormat
    option: str = ""
    header: bytes = b""
    trailer: bytes = b""


# The signature, no flags, no extension; and a row of -1 columns.
FRAMES: dict[RowFormat, Frame] = {
    "text": Frame("text"),
    "binary": Frame("binary", " (FORMAT binary)", b"PGCOPY\n\xff\r\n\0" + bytes(8), b"\xff\xff"),
}
