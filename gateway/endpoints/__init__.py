"""What clients may call: one endpoint per file. This list is what ships."""

from gateway.endpoints import chat_completions, completions, embeddings, health, metrics, models, openapi

__all__ = ["chat_completions", "completions", "embeddings", "health", "metrics", "models", "openapi"]
