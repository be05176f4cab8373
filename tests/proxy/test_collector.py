"""The collector of garbage looks less often, and as before once we are gone."""

import gc

from foxora_addon.proxy import collector


def test_it_looks_as_before_once_it_is_restored() -> None:
    collector.restore()
    gc.unfreeze()  # what other tests have left
    before = gc.get_threshold(), gc.get_freeze_count()
    for _ in range(2):
        collector.relax(rarely=False)
        assert gc.get_threshold() == before[0]
        assert gc.get_freeze_count() > before[1]
        collector.relax(rarely=True)
        collector.relax(rarely=True)
        assert gc.get_threshold()[0] > before[0][0]
        collector.restore()
        collector.restore()
        assert (gc.get_threshold(), gc.get_freeze_count()) == before
