"""Walking a traced graph backward by other rules than the chain rule: what the files of `rules/` are written with."""
