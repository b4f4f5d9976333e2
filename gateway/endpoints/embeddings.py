"""``POST /v1/embeddings``."""

from gateway.catalog import endpoints
from gateway.contracts import Task
from gateway.dialects import openai_embeddings


@endpoints.register("embeddings")
class Embeddings:
    """Texts as vectors."""

    path = "/v1/embeddings"
    task = Task.EMBEDDING
    dialect = openai_embeddings.DIALECT
