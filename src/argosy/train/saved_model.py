"""The SavedModel: the rules of ``argosy.data.preprocessing`` as a TensorFlow graph, before the model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from argosy.data.preprocessing import ImagePreprocessing


def save_signatures(tf: Any, model: Any, preprocessing: ImagePreprocessing, directory: Path) -> None:
    """Write ``serving_default`` (raw pixels 0 to 255) and ``image_bytes`` (encoded images)."""
    height, width, channels = preprocessing.shape
    flat = (height, width) if channels == 1 else preprocessing.shape

    def scaled(pixels: Any) -> Any:
        values = tf.cast(tf.reshape(pixels, (-1, *preprocessing.shape)), tf.float32)
        return values * tf.constant(preprocessing.scale, tf.float32) + preprocessing.offset

    def answer(pixels: Any) -> dict[str, Any]:
        return {"probabilities": model(scaled(pixels), training=False)}

    def from_pixels(images: Any) -> dict[str, Any]:
        return answer(images)

    def from_bytes(image_bytes: Any) -> dict[str, Any]:
        return answer(
            tf.map_fn(
                lambda encoded: decode(tf, encoded, preprocessing),
                image_bytes,
                fn_output_signature=tf.TensorSpec(preprocessing.shape, tf.float32),
            )
        )

    module = tf.Module()
    module.model = model
    signatures = {
        "serving_default": tf.function(
            from_pixels,
            input_signature=[tf.TensorSpec((None, *flat), tf.uint8, name="images")],
            autograph=False,
        ),
        "image_bytes": tf.function(
            from_bytes,
            input_signature=[tf.TensorSpec((None,), tf.string, name="image_bytes")],
            autograph=False,
        ),
    }
    tf.saved_model.save(module, str(directory), signatures=signatures)


def decode(tf: Any, encoded: Any, preprocessing: ImagePreprocessing) -> Any:
    """Pixels float32[h, w, c], 0 to 255, of one encoded image, before scale and offset."""
    is_jpeg = tf.equal(tf.strings.substr(encoded, 0, 3), b"\xff\xd8\xff")
    rgb = tf.cond(
        is_jpeg,
        lambda: tf.io.decode_jpeg(encoded, channels=3, dct_method="INTEGER_ACCURATE"),
        lambda: tf.io.decode_png(encoded, channels=3),
    )
    if preprocessing.channels == 1:
        weighted = tf.cast(rgb, tf.int32) * tf.constant([19595, 38470, 7471])
        pixels = tf.bitwise.right_shift(tf.reduce_sum(weighted, -1, keepdims=True) + 32768, 16)
    else:
        pixels = rgb
    values = tf.cast(pixels, tf.float32)
    size = (preprocessing.height, preprocessing.width)
    resized = tf.cond(
        tf.reduce_all(tf.equal(tf.shape(values)[:2], size)),
        lambda: values,
        lambda: tf.clip_by_value(tf.image.resize(values, size, antialias=True), 0.0, 255.0),
    )
    return tf.ensure_shape(resized, preprocessing.shape)
