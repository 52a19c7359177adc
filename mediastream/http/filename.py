"""File names as clients send them, made fit for a header and a download dialogue."""


def printable(name: str) -> str:
    """Without what could break out of a header, a line or a folder; "file" if nothing is left."""
    return "".join(" " if ch in "/\\" else ch for ch in name if ch.isprintable()).strip(" .") or "file"
