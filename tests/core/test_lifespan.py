import gc

from mediastream import lifespan


def test_what_is_there_at_the_start_is_not_looked_through_for_cycles_again() -> None:
    try:
        lifespan.freeze()
        assert gc.get_freeze_count() > 10_000
    finally:
        gc.unfreeze()
