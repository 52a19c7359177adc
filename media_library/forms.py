"""The admin's form: the probe looks at an upload before it is stored."""

from pathlib import Path
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.core.files.uploadedfile import TemporaryUploadedFile

from media_library import ingest
from media_library.models import Media
from mediastream.errors import NotMedia


class MediaForm(forms.ModelForm):
    """`inspection` is what the probe said of a new file; None if the file was not changed."""

    inspection: ingest.Inspection | None = None

    class Meta:
        model = Media
        fields = ("title", "file", "visibility", "owner")
        # Without the admin's link to the present file, which would lead past the access rules.
        widgets = {"file": forms.FileInput}
        help_texts = {
            "title": "Left empty, the file's name.",
            "file": "Video or sound. It is looked into before it is stored; a new file replaces the present one.",
            "owner": "Left empty, whoever uploads.",
        }

    def clean_file(self) -> Any:
        file = self.cleaned_data["file"]
        if isinstance(file, TemporaryUploadedFile):
            try:
                self.inspection = ingest.inspect(Path(file.temporary_file_path()))
            except NotMedia as fault:
                raise ValidationError(fault.detail) from None
        return file
