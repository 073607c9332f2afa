"""Text at the speed of COPY: sentences are drawn from pools of phrases, so that no value need ever be repeated."""

import random
from itertools import product

from sample_lms.generate.words import (
    ADJECTIVES,
    ADVERBS,
    FIRST_NAMES,
    LAST_NAMES,
    NOUNS,
    PREPOSITIONS,
    VERBS,
)

SENTENCE_LENGTH = 86
"""Mean length of a sentence in characters, its trailing blank included."""


def _indefinite(thing: str) -> str:
    return f"{'an' if thing[0] in 'aeiou' else 'a'} {thing}"


class Prose:
    """Sentences of subject, verb, object and place, some 10**14 of them."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        things = [f"{adjective} {noun}" for adjective, noun in product(ADJECTIVES, NOUNS)]
        self._subjects = [f"{article} {thing}" for article, thing in product(("The", "Each", "This"), things)]
        self._verbs = [f"{adverb} {verb}" for adverb, verb in product(ADVERBS, VERBS)]
        self._objects = [f"the {thing}" for thing in things]
        self._places = [f"{preposition} {_indefinite(thing)}" for preposition, thing in product(PREPOSITIONS, things)]

    def sentences(self, count: int) -> list[str]:
        choices = self._rng.choices
        parts = (choices(pool, k=count) for pool in (self._subjects, self._verbs, self._objects, self._places))
        return [f"{subject} {verb} {thing} {place}." for subject, verb, thing, place in zip(*parts, strict=True)]

    def text(self, characters: int) -> str:
        """Return about so many characters of running text."""
        return " ".join(self.sentences(max(1, characters // SENTENCE_LENGTH)))

    def title(self) -> str:
        """Return a short heading."""
        return self._rng.choice(self._subjects) + " and " + self._rng.choice(self._objects)


NAMES = len(FIRST_NAMES) * 26 * len(LAST_NAMES)
# Coprime to NAMES, so that all names come before one comes again, and neighbours share no part.
NAME_STRIDE = 425_197


def full_name(index: int) -> tuple[str, str, str]:
    """Return the index-th of some 690,000 different names: first name, initial, last name."""
    last, rest = divmod(index * NAME_STRIDE % NAMES, len(FIRST_NAMES) * 26)
    first, initial = divmod(rest, 26)
    return FIRST_NAMES[first], chr(ord("A") + initial), LAST_NAMES[last]
