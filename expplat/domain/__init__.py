"""Floor 1: the nouns. Frozen values, no input or output, nothing but the standard library.

(`annotated_types` is let in for ranges such as `Gt(0)`: a vocabulary without code of its own,
from which the file reader and the published JSON Schema take their limits.)
"""
