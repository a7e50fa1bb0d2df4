"""Numbers with their nouns, for messages: 1 image, 2 images."""


def count(number: int, noun: str, plural: str | None = None) -> str:
    """`1 image`, `2 images`, `0 images`; `plural` where it is not the noun with an s."""
    return f"{number} {noun if number == 1 else plural or noun + 's'}"
