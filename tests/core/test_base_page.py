"""What every page has around it."""

import pytest
from django.test import Client

from tests.media_library.conftest import collect_static

pytestmark = pytest.mark.django_db
LINK = ">Sign in</a>"


def test_the_sign_in_page_offers_no_second_way_to_it(client: Client) -> None:
    """That one would lead back to the sign-in page, where this one knows the real address."""
    collect_static()
    page = client.get("/accounts/login/", {"next": "/live/yard/"}).content.decode()
    assert LINK not in page
    assert '<input type="hidden" name="next" value="/live/yard/">' in page
    assert f'<a href="/accounts/login/?next=/live/"{LINK}' in client.get("/live/").content.decode()
