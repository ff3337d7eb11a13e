"""A recogniser of phones: for each frame of a mel spectrogram the probability of every phone, whoever speaks."""
