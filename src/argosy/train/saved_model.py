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
    starts = tf.strings.substr(encoded, 0, 2)
    rgb = tf.case(
        [
            (
                tf.equal(starts, b"\xff\xd8"),
                lambda: tf.io.decode_jpeg(encoded, channels=3, dct_method="INTEGER_ACCURATE"),
            ),
            (tf.equal(starts, b"BM"), lambda: _decode_bmp(tf, encoded)),
        ],
        # PNG, and the first frame of a GIF.
        default=lambda: tf.io.decode_image(encoded, channels=3, expand_animations=False),
    )
    rgb = tf.ensure_shape(rgb, (None, None, 3))
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


def _decode_bmp(tf: Any, encoded: Any) -> Any:
    """uint8[h, w, 3] of a BMP of 8, 24 or 32 bits; TensorFlow gives numbers where there is a palette."""
    values = tf.io.decode_bmp(encoded)

    def number(at: int) -> Any:
        octets = tf.cast(tf.io.decode_raw(tf.strings.substr(encoded, at, 4), tf.uint8), tf.int32)
        return tf.reduce_sum(octets * tf.constant([1, 1 << 8, 1 << 16, 1 << 24]))

    def looked_up() -> Any:
        start = 14 + number(14)
        palette = tf.io.decode_raw(tf.strings.substr(encoded, start, number(10) - start), tf.uint8)
        return tf.gather(tf.reshape(palette, (-1, 4))[:, 2::-1], tf.cast(values[..., 0], tf.int32))

    return tf.cond(tf.equal(tf.shape(values)[-1], 1), looked_up, lambda: values[..., :3])
