"""Text to phones: cleaning, markup, sentences, normalisation by language, pronunciation. Nothing here imports TensorFlow."""
