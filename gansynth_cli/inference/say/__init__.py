"""Speak text with published voices (Piper, Kokoro) through onnxruntime. Nothing here imports TensorFlow."""
