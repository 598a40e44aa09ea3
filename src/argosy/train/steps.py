"""The two graphs of training: many steps in one call, and the evaluation of a block of rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from argosy.train.cluster import Cluster

Loss = Callable[[Any, Any], Any]


def build_training(tf: Any, cluster: Cluster, model: Any, optimizer: Any, loss: Loss) -> Any:
    """``train(features[s·b, ...], labels[s·b], weights[s, b]) -> float32[s, 2]``.

    Performs s optimizer steps and returns (loss, accuracy) of each global batch. ``weights`` holds what each
    example counts in the mean over its global batch, so summed gradients are those of one process. Moving
    statistics (batch normalization) are averaged over the processes at the end of the call: they are linear
    in what was seen, so this equals averaging after each step.
    """
    trainable = model.trainable_variables
    shapes = [variable.shape for variable in trainable]
    sizes = [variable.value.shape.num_elements() for variable in trainable]
    statistics = moving_statistics(model)

    def local_step(features: Any, labels: Any, weights: Any) -> tuple[Any, Any]:
        values = [variable.value for variable in trainable]
        with tf.GradientTape() as tape:
            predictions = model(features, training=True)
            value = tf.reduce_sum(loss(labels, predictions) * weights)
            penalty = tf.add_n(model.losses) / cluster.workers if model.losses else 0.0
            total = value + penalty
        gradients = tape.gradient(total, values, unconnected_gradients=tf.UnconnectedGradients.ZERO)
        # One collective operation a step: its latency, not its size, is what a small model pays.
        flat = tf.concat([tf.reshape(tf.convert_to_tensor(g), [-1]) for g in gradients], 0)
        correct = tf.reduce_sum(_matches(tf, labels, predictions) * weights)
        return cluster.sum(flat), tf.stack([value, correct])

    def average_statistics() -> None:
        if cluster.workers == 1 or not statistics:
            return
        flat = tf.concat([tf.reshape(v.value, [-1]) for v in statistics], 0)
        mean = cluster.run(cluster.sum, flat) / cluster.workers
        parts = tf.split(mean, [v.value.shape.num_elements() for v in statistics])
        for variable, part in zip(statistics, parts, strict=True):
            variable.assign(tf.reshape(part, variable.shape))

    specification = [
        tf.TensorSpec((None, *model.inputs[0].shape[1:]), tf.float32),
        tf.TensorSpec((None,), tf.int32),
        tf.TensorSpec((None, None), tf.float32),
    ]

    def train(features: Any, labels: Any, weights: Any) -> Any:
        steps, rows = tf.unstack(tf.shape(weights))

        def body(step: Any, results: Any) -> tuple[Any, Any]:
            part = slice(step * rows, (step + 1) * rows)
            flat, result = cluster.run(local_step, features[part], labels[part], weights[step])
            gradients = [tf.reshape(g, s) for g, s in zip(tf.split(flat, sizes), shapes, strict=True)]
            optimizer.apply(gradients, trainable)
            return step + 1, results.write(step, result)

        results = tf.TensorArray(tf.float32, steps, element_shape=[2])
        _, results = tf.while_loop(
            lambda step, _: step < steps, body, (tf.constant(0), results), parallel_iterations=1
        )
        average_statistics()
        return cluster.run(cluster.sum, results.stack())

    return tf.function(train, input_signature=specification, autograph=False)


def build_evaluation(tf: Any, model: Any, loss: Loss) -> Any:
    """``evaluate(features[b, ...], labels[b]) -> float64[2]``: summed loss and number of right answers."""

    def evaluate(features: Any, labels: Any) -> Any:
        predictions = model(features, training=False)
        sums = [tf.reduce_sum(loss(labels, predictions)), tf.reduce_sum(_matches(tf, labels, predictions))]
        return tf.cast(tf.stack(sums), tf.float64)

    specification = [
        tf.TensorSpec((None, *model.inputs[0].shape[1:]), tf.float32),
        tf.TensorSpec((None,), tf.int32),
    ]
    return tf.function(evaluate, input_signature=specification, autograph=False)


def moving_statistics(model: Any) -> list[Any]:
    """The variables that are changed by seeing data, not by gradients."""
    return [v for v in model.non_trainable_variables if "float" in str(v.dtype)]


def _matches(tf: Any, labels: Any, predictions: Any) -> Any:
    return tf.cast(tf.equal(tf.argmax(predictions, -1, output_type=tf.int32), labels), tf.float32)
