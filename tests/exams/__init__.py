"""One test class for each port: subclass it, give its fixture, and every law is examined."""

import pytest

pytest.register_assert_rewrite(
    "tests.exams.codecs", "tests.exams.database", "tests.exams.executor", "tests.exams.objects"
)
