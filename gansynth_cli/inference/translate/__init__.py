"""Speech in one language to speech in another: recogniser, translator and voice, with subtitles between them that a person can correct."""
