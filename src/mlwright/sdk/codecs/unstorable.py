"""What a codec says of a value that looks like one of its own and is not: the next one may take it."""

from mlwright.kernel.errors import Invalid


class Unstorable(Invalid):
    """This codec cannot keep all that there is to this value. The last resort may; its record says why."""
