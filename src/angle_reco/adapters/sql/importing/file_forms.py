"""Recognition of files that are not CSV in UTF-8, by their first bytes, header or fields."""

from collections.abc import Sequence

from angle_reco.domain.errors import shown

HEAD = 16
"""Number of first bytes that `other_form` examines."""

_BEGINNINGS = (
    (b"\x1f\x8b", "is packed with gzip, but should be plain, or be named .csv.gz and packed once"),
    (b"PK\x03\x04", "is a ZIP archive or a workbook, but should be CSV"),
    (b"\xd0\xcf\x11\xe0", "is a workbook, but should be CSV"),
    (b"\xff\xfe\x00\x00", "is in UTF-32, but should be in UTF-8"),
    (b"\x00\x00\xfe\xff", "is in UTF-32, but should be in UTF-8"),
    (b"\xff\xfe", "is in UTF-16, but should be in UTF-8"),
    (b"\xfe\xff", "is in UTF-16, but should be in UTF-8"),
)

_SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "vertical bars"}


def other_form(head: bytes) -> str | None:
    """Return why a file with these first bytes is no plain UTF-8 text, None if it may be one."""
    for beginning, reason in _BEGINNINGS:
        if head.startswith(beginning):
            return reason
    # Without a byte-order mark UTF-16 shows by null bytes, because a header is ASCII.
    if b"\x00" in head[:2]:
        width = 32 if head[:4].count(0) == 3 else 16
        return f"is in UTF-{width}, but should be in UTF-8"
    return None


def line_for_excel(header: Sequence[str]) -> str | None:
    """Return why a first line such as `sep=;` is no header, None if it is none such."""
    line = ",".join(header)
    if line[:4].lower() != "sep=":
        return None
    return (
        f"is {shown(line)}, which only Excel reads, but should be the header, separated by commas"
    )


def other_separator(header: Sequence[str], columns: Sequence[str]) -> str | None:
    """Return why a header is not separated by commas, None if it is."""
    line = ",".join(header)
    for separator, name in _SEPARATORS.items():
        names = {one.strip(" \"'\r\n") for one in line.split(separator)}
        if len(names & set(columns)) > 1:
            return f"is separated by {name}, but should be by commas"
    return None


def other_encoding(column: str, value: object) -> str | None:
    """Return why a field is no UTF-8, None if it is.

    Bytes that are not UTF-8 are lone surrogates in *value*.
    """
    if not isinstance(value, str):
        return None
    try:
        value.encode()
    except UnicodeEncodeError:
        raw = value.encode("utf-8", "surrogateescape")
        try:
            decoded = raw.decode("cp1252")
        except UnicodeDecodeError:  # cp1252 leaves five bytes undefined
            decoded = raw.decode("latin-1")
        return (
            f"{column} is no text in UTF-8, but probably in Latin-1 or Windows-1252, where it"
            f" is {shown(decoded)}: save the file as UTF-8"
        )
    return None
