"""Numbers of what the code does: two versions of the program with the same settings and weights may answer otherwise.

They are part of `encode_fp` and `model_version`. Raise one with every change that can change what it stands for;
`tests/test_behaviour.py` holds recorded results and fails where they change and the number does not.
"""

ENCODE_BEHAVIOUR = 2
"""Of decoding, proposals and features: what is kept in caches. A new number encodes every image again, when it is next needed."""
ANSWER_BEHAVIOUR = 8
"""Of reading, scoring, choosing and cleaning: what is asked of an encoded image."""
