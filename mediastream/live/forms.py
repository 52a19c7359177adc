"""The form in which an administrator describes a camera."""

from django import forms
from django.core.exceptions import NON_FIELD_ERRORS

from mediastream.live.models import Camera

NOT_TERMS = ("slug", "name", "always_on", "record", "keep_hours", "keep_gb")  # what the pictures do not depend on


class CameraForm(forms.ModelForm):
    """A stored password never goes back to the browser: an empty field keeps it, an empty name removes both."""

    class Meta:
        model = Camera
        fields = "__all__"  # noqa: DJ007 - only administrators come here
        widgets = {"password": forms.PasswordInput(attrs={"autocomplete": "new-password"})}
        help_texts = {"password": "Empty: as it is. It goes with the name."}

    def clean_password(self) -> str:
        given: str = self.cleaned_data["password"]
        if not self.cleaned_data.get("username"):
            return ""
        return given or str(self.initial.get("password", ""))

    def errors_of_terms(self) -> list[tuple[str, str]]:
        """Field and fault, of what keeps the source from being opened; if there are none, `instance` has the
        terms. A camera without a name can be tested."""
        return [
            ("" if name == NON_FIELD_ERRORS else str(self.fields[name].label), str(fault))
            for name, faults in self.errors.items()
            if name not in NOT_TERMS
            for fault in faults
        ]
