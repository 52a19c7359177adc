"""What a server does at its start for what comes after."""

import gc

from mediastream import lifespan


def test_what_is_there_at_the_start_is_not_looked_through_for_cycles_again() -> None:
    threshold = gc.get_threshold()
    try:
        lifespan.freeze()
        assert gc.get_freeze_count() > 10_000
        assert gc.get_threshold() == (lifespan.YOUNG, *threshold[1:])
    finally:
        gc.set_threshold(*threshold)
        gc.unfreeze()
