"""What a job returned, as plain JSON of a bounded size."""

from __future__ import annotations

import json
from typing import Any

from pydantic_core import PydanticSerializationError, to_json

from iocmng.core.json_values import json_problem

RESULT_MAX_BYTES = 1024 * 1024
"""Largest result where nothing else is set, in bytes of JSON."""

MESSAGE_CHARACTERS = 10_000
"""Characters of a result's message that are kept."""


class ResultProblem(Exception):
    """Why a result cannot be kept, in a sentence."""


def plain_result(data: Any, max_bytes: int = RESULT_MAX_BYTES) -> Any:
    """Return data as JSON has it: what a client reads. Numpy's scalars and arrays become numbers and lists.

    Args:
        data: What the job returned.
        max_bytes: Largest size, in bytes of JSON.

    Raises:
        ResultProblem: If JSON cannot hold it, or it is too large.
    """
    fallback = _Fallback(max_bytes)
    try:
        text = to_json(data, inf_nan_mode="constants", fallback=fallback)
        if len(text) > max_bytes:
            raise ResultProblem(
                f"data has {len(text)} bytes of JSON, and {max_bytes} are allowed (IOCMNG_RESULT_MAX_BYTES); write it "
                "to a file, and return the file's name"
            )
        plain = json.loads(text)
    except (PydanticSerializationError, ValueError, RecursionError) as error:
        raise ResultProblem(fallback.too_large or f"data cannot be written as JSON: {error}") from None
    if problem := json_problem(plain, "data"):
        raise ResultProblem(problem)
    return plain


def shortened_message(message: str) -> str:
    """Return a result's message, cut with a mark where it is beyond all measure."""
    return message if len(message) <= MESSAGE_CHARACTERS else f"{message[:MESSAGE_CHARACTERS]}..."


class _Fallback:
    """Turns what JSON does not know into what it knows, without importing the package that it comes from.

    Attributes:
        too_large: What to say of an array of which the size alone tells that it does not fit.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self.too_large: str | None = None

    def __call__(self, value: Any) -> Any:
        size = getattr(value, "size", None)
        if isinstance(size, int) and 2 * size > self._max_bytes:  # a digit and a comma each, at the very least
            self.too_large = (
                f"data has an array of {size} elements, and {self._max_bytes} bytes of JSON are allowed "
                "(IOCMNG_RESULT_MAX_BYTES); write it to a file, and return the file's name"
            )
            raise ValueError(self.too_large)
        to_list = getattr(value, "tolist", None)
        plain = to_list() if callable(to_list) else value
        if type(plain) is type(value):
            raise TypeError(f"a {type(value).__name__} is no JSON value")
        return plain
