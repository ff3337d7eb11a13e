"""Text-to-speech: phones to mel spectrograms, with durations, pitch and energy predicted, trained against a discriminator of mels."""
