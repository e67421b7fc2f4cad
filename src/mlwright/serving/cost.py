"""What it takes to ask a model: so much each time, and so much for each row; learned by measuring."""

from __future__ import annotations

_NOISE = 0.2
"""How far, as a share, one measurement is off because the machine does something else as well."""
_DRIFT = 0.02
"""How far each part may have moved since the last measurement, as a share of it."""
_LEAST = 0.02
"""A part that is less than such a share of the whole may be that much all the same."""
_MOST = 4.0
"""A measurement that is further off than so many times counts as so far."""
_FLOOR_S = 1e-9
_WORTH = 16
"""Of a batch whose rows take so many times what each asking takes, more rows would gain less than 6%."""


class Cost:
    """`batch_s + rows * row_s`, in seconds; both 0 until something was measured.

    Both are followed by a Kalman filter: a fit that forgets would lose what it knew of one part while all
    batches have one size, as they often have.

    Source: Welch and Bishop, An Introduction to the Kalman Filter (2006), section 1.
    """

    __slots__ = ("_batch_var", "_both_var", "_row_var", "batch_s", "row_s")

    def __init__(self) -> None:
        self.batch_s = self.row_s = 0.0
        self._batch_var = self._both_var = self._row_var = 0.0

    def expected_s(self, rows: int) -> float:
        """How long it will take to ask about so many rows."""
        return self.batch_s + rows * self.row_s

    def learn(self, rows: int, took_s: float) -> None:
        """So long it took.

        Args:
            rows: that were asked about together, at least 1.
            took_s: more than 0.
        """
        expected_s = self.expected_s(rows)
        if not expected_s:
            self._believe(took_s / 2, took_s / 2 / rows, 1.0)
            return
        self._drift(expected_s, rows)
        off_s = min(max(took_s, expected_s / _MOST), expected_s * _MOST) - expected_s
        of_batch = self._batch_var + rows * self._both_var
        of_row = self._both_var + rows * self._row_var
        known = of_batch + rows * of_row + (_NOISE * expected_s) ** 2
        self.batch_s = max(self.batch_s + of_batch / known * off_s, _FLOOR_S)
        self.row_s = max(self.row_s + of_row / known * off_s, _FLOOR_S)
        self._batch_var -= of_batch / known * of_batch
        self._both_var -= of_batch / known * of_row
        self._row_var -= of_row / known * of_row

    def measured(self, one_s: float, rows: int, took_s: float) -> None:
        """What one row and so many rows took, without anything beside.

        Args:
            one_s: more than 0.
            rows: more than 1.
            took_s: more than 0.
        """
        row_s = min(max((took_s - one_s) / (rows - 1), _FLOOR_S), one_s)
        self._believe(max(one_s - row_s, _FLOOR_S), row_s, _NOISE)

    def paying_rows(self, limit: int) -> int:
        """How many rows are worth asking about together: 1 where the model gains nothing by it."""
        if not self.row_s:
            return limit
        return max(1, min(limit, int(_WORTH * self.batch_s / self.row_s)))

    def _believe(self, batch_s: float, row_s: float, off: float) -> None:
        self.batch_s, self.row_s = batch_s, row_s
        self._batch_var, self._both_var, self._row_var = (off * batch_s) ** 2, 0.0, (off * row_s) ** 2

    def _drift(self, expected_s: float, rows: int) -> None:
        batch_s = max(self.batch_s, _LEAST * expected_s)
        row_s = max(self.row_s, _LEAST * expected_s / rows)
        if self._batch_var < batch_s**2:
            self._batch_var += (_DRIFT * batch_s) ** 2
        if self._row_var < row_s**2:
            self._row_var += (_DRIFT * row_s) ** 2
