"""TensorFlow in forked processes: imported once, used in each; ranks meet at their reserved ports."""

from __future__ import annotations

import pytest

from .world import Watched, World, run

CODE = """
import sys
warm = "tensorflow" in sys.modules
import tensorflow as tf

def reduces():
    strategy = tf.distribute.MultiWorkerMirroredStrategy()

    @tf.function
    def total():
        def of_replica():
            context = tf.distribute.get_replica_context()
            return context.all_reduce("SUM", tf.cast(context.replica_id_in_sync_group + 1, tf.float32))
        return strategy.run(of_replica)

    return [warm, float(total())]
"""


@pytest.mark.slow
def test_ranks_forked_from_one_warm_tensorflow_reduce_together(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "2")

    async def main() -> None:
        watched = Watched(world.home)
        await watched.runtime.start()
        watched.runtime.warm(("tensorflow",))
        digest = world.source(CODE)
        for _ in range(2):
            spec = world.step(digest, "reduces", workers=2, preload=("tensorflow",), timeout_seconds=60)
            ended = await watched.run(spec)
            assert ended.output is not None, (ended.outcome, world.log(spec), world.log(spec, 1))
            assert world.value(ended) == [True, 3.0]
        await watched.runtime.shut_down()
        assert world.processes() == []

    run(main())
