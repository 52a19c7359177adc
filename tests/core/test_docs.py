import pytest

from mediastream.environment import KNOWN, ROOT


@pytest.mark.parametrize("name", sorted({*KNOWN, "HOST", "PORT", "DATABASE_URL", "REDIS_URL", "WEB_CONCURRENCY"}))
def test_every_setting_is_documented(name: str) -> None:
    assert f"`{name}`" in (ROOT / "docs" / "settings.md").read_text()
