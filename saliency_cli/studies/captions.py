"""Words in the captions of what studies draw."""


def class_text(label: str) -> str:
    """Return a class as captions name it: without a name `class 3`, since `3 0.44` reads as two numbers."""
    return f"class {label}" if label.isdecimal() else label
