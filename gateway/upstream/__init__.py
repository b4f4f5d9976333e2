"""The only code that opens provider connections."""
