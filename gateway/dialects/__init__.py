"""Wire formats: bytes to values and back. Nothing here does I/O or knows a provider."""
