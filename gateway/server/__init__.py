"""The process: listener, worker, and the lanes that turn connections into exchanges."""
