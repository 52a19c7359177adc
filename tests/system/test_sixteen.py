"""A wall of sixteen cameras in one page of Chromium, which opens six connections to a server."""

import os
from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from tests.browser import chromium
from tests.system.harness import Server, wait_until
from tests.system.sources import flaky

pytestmark = [pytest.mark.system, pytest.mark.browser]

CAMERAS = 16
SECONDS = 5.0
# "ffmpeg" has each camera decoded and encoded by an FFmpeg of its own, to measure by hand.
SOURCE = os.environ.get("SIXTEEN_FROM", "http")
MAKE = """
from mediastream.live.models import Camera
Camera.objects.all().delete()
for number in range({count}):
    Camera.objects.create(slug=f"cam-{{number}}", name=f"Camera {{number}}", visibility="public", **{terms})
"""
# What is drawn is what is seen: a picture that came and was passed over does not count.
COUNT = """
window.drawn = {};
const draw = CanvasRenderingContext2D.prototype.drawImage;
CanvasRenderingContext2D.prototype.drawImage = function (...all) {
  const slug = this.canvas.closest?.("[data-slug]")?.dataset.slug;
  if (slug) drawn[slug] = (drawn[slug] ?? 0) + 1;
  return draw.apply(this, all);
};
"""


@pytest.fixture
def server(own_server: Server) -> Iterator[Server]:
    with flaky() as source:
        decoded = {"source": "test-pattern", "fps": 10, "size": "480x270"}
        terms = {"source": source.url} if SOURCE == "http" else decoded
        own_server.manage("shell", "-v0", "-c", MAKE.format(count=CAMERAS, terms=terms))
        yield own_server


def test_all_advance(server: Server) -> None:
    with chromium() as browser:
        page = browser.new_page(viewport={"width": 1600, "height": 2400})
        page.add_init_script(COUNT)
        page.goto(server.url("/live/"))
        states = page.locator("[data-slug] .state")
        expect(states).to_have_count(CAMERAS)
        for number in range(CAMERAS):
            expect(states.nth(number)).to_have_text("live", timeout=60_000)
        before = page.evaluate("({...drawn})")
        page.wait_for_timeout(SECONDS * 1000)
        after = page.evaluate("({...drawn})")
        rates = sorted((after[slug] - before.get(slug, 0)) / SECONDS for slug in after)
        print(f"pictures a second that {SOURCE} cameras drew: {rates}")
        assert len(rates) == CAMERAS
        seen = page.evaluate("({...drawn})")
        wait_until(
            lambda: all(now >= seen[slug] + 5 for slug, now in page.evaluate("drawn").items()), 30, "all to go on"
        )
        assert len(server.ffmpegs()) == (0 if SOURCE == "http" else CAMERAS)
        page.close()
    wait_until(lambda: not server.ffmpegs(), 30, "the cameras to rest")
