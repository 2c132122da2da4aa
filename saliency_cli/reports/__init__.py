"""A check, told to people and to machines: one file a format, each a function of the `CheckRecord`."""
