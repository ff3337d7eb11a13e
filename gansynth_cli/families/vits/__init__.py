"""VITS: text to waveform through a latent, with an aligner that needs no network."""
