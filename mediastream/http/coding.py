"""Content codings by negotiation: `Accept-Encoding` (RFC 9110 sections 8.4.1 and 12.5.3)."""

import re
from collections.abc import Sequence

_NAME = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_WEIGHT = r"(?:0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)"
_ELEMENT = re.compile(rf"({_NAME})(?:[ \t]*;[ \t]*[qQ]=({_WEIGHT}))?")

IDENTITY = "identity"
ANY = "*"
_FORMER_NAMES = {"x-gzip": "gzip", "x-compress": "compress"}  # section 8.4.1: taken for the same


def choose(header: str | None, offered: Sequence[str]) -> str | None:
    """Which of the codings `offered`, the best first, to answer with; None: none, the bytes as they are.

    What the client likes best counts, then what is offered first, and a coding before none. Where it takes nothing that
    is offered it gets the bytes as they are, even if it says that it does not take those either: section 12.5.3 prefers
    that to a refusal.
    """
    weights = parse(header) if header is not None else None
    if not weights or not offered:
        return None
    otherwise = weights.get(ANY, 0.0)
    best = max(offered, key=lambda coding: weights.get(coding, otherwise))
    weight = weights.get(best, otherwise)
    return best if weight > 0 and weight >= weights.get(IDENTITY, otherwise) else None


def parse(header: str) -> dict[str, float] | None:
    """The weight of each coding it names, in lower case. None: this is no such header, and so says nothing.

    Of a coding that is named twice the lower weight counts: who refuses it somewhere may not be able to read it.
    """
    weights: dict[str, float] = {}
    for element in header.split(","):
        if not (element := element.strip(" \t")):
            continue  # empty elements are none (section 5.6.1)
        match = _ELEMENT.fullmatch(element)
        if match is None:
            return None
        name = match[1].lower()
        name = _FORMER_NAMES.get(name, name)
        weights[name] = min(float(match[2] or 1), weights.get(name, 1.0))
    return weights
