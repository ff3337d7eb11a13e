"""Songs: read Standard MIDI Files, and play them with models of notes and of drums."""

from .read import Note, Song, read_midi

__all__ = ["Note", "Song", "read_midi"]
