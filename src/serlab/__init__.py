"""serlab: what each component of a speech emotion recogniser is worth, with intervals."""

__version__ = "0.1.0"
