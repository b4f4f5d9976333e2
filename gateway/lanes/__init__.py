"""How requests come in: a lane turns connections into exchanges, and what it is not asked for into pages."""
