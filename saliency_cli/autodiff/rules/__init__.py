"""Backward rules, one file a rule or family: the file's name is the rule's name in a `Trace`.

A rule is a frozen dataclass of options (`lrp:dense=epsilon,epsilon=0.1` in a `Trace`) with `references`, how
many further points it compares with, and `backward(way, others)`; `backward/ruled.py` says what they are.
"""
