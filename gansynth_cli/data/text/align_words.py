"""Match phones to written words: programs join words ("of the" is one) and take numbers apart."""

from __future__ import annotations

from collections.abc import Sequence

from .ipa import split_phones
from .tokens import Token, Word

MAX_JOINED = 4  # written words that one pronounced word may stand for
_PHONES_PER_LETTER = 0.85
_JOIN_COST = 1.0


def align_words(tokens: Sequence[Token], pronounced: Sequence[str]) -> list[Word]:
    """Return words with their phones: each token with the pronounced words that it takes, joined tokens as one word.

    Args:
        tokens: Words as written, with what is spoken for each.
        pronounced: Phones of the spoken words, one string each, in the same order; not always as many.
    """
    spoken = [max(1, len(token.spoken.split())) for token in tokens]
    if sum(spoken) == len(pronounced):
        groups, position = [], 0
        for index, number in enumerate(spoken):
            groups.append((index, index + 1, position, position + number))
            position += number
    else:
        groups = _cheapest(tokens, [split_phones(word) for word in pronounced])
    found: list[Word] = []
    for first, last, begin, end in groups:
        phones = [split_phones(word) for word in pronounced[begin:end]]
        text = " ".join(token.source for token in tokens[first:last])
        found += spread(text, [part for part in phones if part], tokens[last - 1].mark)
    return found


def spread(text: str, parts: Sequence[tuple[str, ...]], mark: str) -> list[Word]:
    """Return the words of a token that is pronounced as several: the written word stays with the first, the others have none."""
    if not parts:
        return [Word(text, (), mark)] if mark else []
    return [Word(text if i == 0 else "", part, mark if i == len(parts) - 1 else "") for i, part in enumerate(parts)]


def _cheapest(tokens: Sequence[Token], pronounced: Sequence[tuple[str, ...]]) -> list[tuple[int, int, int, int]]:
    """Align by dynamic programming on lengths: the cost of a group is the difference between expected and found phones.

    A group is one token with any number of pronounced words, or up to `MAX_JOINED` tokens with one. The cost is that of a clause:
    tokens x pronounced words squared, at most some 40^3.
    """
    expected = [_PHONES_PER_LETTER * sum(c.isalnum() for c in token.spoken) for token in tokens]
    lengths = [len(word) for word in pronounced]
    infinity = float("inf")
    best = [[infinity] * (len(lengths) + 1) for _ in range(len(tokens) + 1)]
    back: dict[tuple[int, int], tuple[int, int]] = {}
    best[0][0] = 0.0
    for i in range(len(tokens)):
        for j in range(len(lengths) + 1):
            if best[i][j] == infinity:
                continue
            options = [(i + 1, k) for k in range(j, len(lengths) + 1)] + [
                (i + joined, j + 1) for joined in range(2, MAX_JOINED + 1) if i + joined <= len(tokens) and j < len(lengths)
            ]
            for next_i, next_j in options:
                cost = abs(sum(expected[i:next_i]) - sum(lengths[j:next_j])) + _JOIN_COST * (next_i - i - 1)
                cost += 0.0 if next_j > j else 3 * _JOIN_COST
                if best[i][j] + cost < best[next_i][next_j]:
                    best[next_i][next_j] = best[i][j] + cost
                    back[next_i, next_j] = (i, j)
    groups, position = [], (len(tokens), len(lengths))
    while position != (0, 0):
        before = back[position]
        groups.append((before[0], position[0], before[1], position[1]))
        position = before
    return groups[::-1]
