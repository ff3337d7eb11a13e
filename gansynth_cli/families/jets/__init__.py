"""JETS: text to waveform in one model, whose aligner is trained with it."""
