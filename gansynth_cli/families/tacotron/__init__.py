"""Tacotron 2: text to mel spectrograms, frame by frame, with attention in place of durations."""
