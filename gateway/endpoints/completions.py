"""``POST /v1/completions``."""

from gateway.catalog import endpoints
from gateway.contracts import Task
from gateway.dialects import openai_completions


@endpoints.register("completions")
class Completions:
    """A text continued, whole or streamed."""

    path = "/v1/completions"
    task = Task.COMPLETION
    dialect = openai_completions.DIALECT
