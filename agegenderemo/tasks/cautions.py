"""What a task says little about, and what it is known to be bad at, as sentences for people."""

from collections.abc import Iterator, Sequence

from agegenderemo.tasks.spec import TaskSpec

_NOT_FACTS = {"age": "their age", "gender": "their gender", "emotion": "what they feel"}

_KNOWN = {
    "age": "Old people, who look too young to it.",
    "gender": (
        "Gender, most of all that of small children: the data sets know two labels that strangers "
        "gave by sight. Whoever does not look the way those strangers expected is misread, and the "
        "error differs between groups of people."
    ),
    "emotion": (
        "It learned from posed and labelled pictures what people call an expression, which says "
        "little about what someone feels."
    ),
}

_RARE = {"emotion": ("contempt", "disgust", "fear")}
"""Classes of which training pictures show few, by task."""


def not_facts(tasks: Sequence[TaskSpec]) -> tuple[str, ...]:
    """What of a person these tasks do not tell, though they look as if they did.

    >>> from agegenderemo.tasks import AGE, EMOTION
    >>> not_facts((AGE, EMOTION))
    ('their age', 'what they feel')
    """
    return tuple(_NOT_FACTS[spec.name] for spec in tasks if spec.name in _NOT_FACTS)


def cautions(tasks: Sequence[TaskSpec]) -> Iterator[str]:
    """A few sentences for each of these tasks that has a known weakness, and of the classes that it
    has."""
    for spec in tasks:
        rare = [name for name in _RARE.get(spec.name, ()) if name in spec.classes]
        sentences = [_KNOWN.get(spec.name, "")]
        if rare:
            sentences.insert(
                0,
                f"{_listed(rare).capitalize()}: rare in its training pictures, so it misses about "
                "half of them or more.",
            )
        if any(sentences):
            yield " ".join(sentences).strip()


def _listed(words: Sequence[str]) -> str:
    *others, last = words
    return f"{', '.join(others)} and {last}" if others else last
