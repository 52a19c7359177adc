"""The query of a stream's address, parsed once and strictly."""

from typing import Any

from django import forms
from django.http import QueryDict

from mediastream.errors import BadInput
from transcode.profiles import PROFILES, Profile

ORIGINAL = "original"


class StreamForm(forms.Form):
    """`start`: seconds from the item's beginning; `profile`: a name from profiles.py, or ORIGINAL."""

    start = forms.RegexField(r"\A[0-9]{1,9}(\.[0-9]{1,9})?\Z", required=False, strip=True)
    profile = forms.ChoiceField(choices=[(name, name) for name in (ORIGINAL, *PROFILES)], required=False)


def parse(query: QueryDict, duration: float | None) -> tuple[float, Profile | None]:
    """Start and profile; None: ORIGINAL. `duration` None: not known, so no start but 0. Raises BadInput, which names
    the field."""
    form = StreamForm(query)
    if not form.is_valid():
        field, faults = next(iter(form.errors.items()))
        raise BadInput(f"{field}: {' '.join(str(fault) for fault in faults)} {_hint(field)}")
    values: dict[str, Any] = form.cleaned_data
    start = float(values["start"] or 0)
    if start > 0 and start >= (duration or 0.0):
        length = "unknown" if duration is None else f"{duration:.3f} seconds"
        raise BadInput(f"start: {start:g} lies past the end; the length is {length}.")
    return start, PROFILES.get(values["profile"])


def _hint(field: str) -> str:
    return f"Profiles are {', '.join((ORIGINAL, *PROFILES))}." if field == "profile" else "Give seconds, such as 12.5."
