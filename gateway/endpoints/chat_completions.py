"""``POST /v1/chat/completions``."""

from gateway.catalog import endpoints
from gateway.contracts import Task
from gateway.dialects import openai_chat


@endpoints.register("chat_completions")
class ChatCompletions:
    """A chat, whole or streamed."""

    path = "/v1/chat/completions"
    task = Task.CHAT
    dialect = openai_chat.DIALECT
