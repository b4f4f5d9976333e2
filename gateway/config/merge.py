"""Several files are one configuration: a later one is laid over an earlier one.

Mappings are merged key by key, at every depth; a list or a single value replaces what was there. Every value keeps
the place where it was written, so a problem is named in its own file.
"""

from __future__ import annotations

from gateway.config.nodes import Entry, Mapping


def overlay(under: Mapping, over: Mapping) -> Mapping:
    """A new mapping: ``over`` where it says something, else ``under``."""
    entries = dict(under.entries)
    for key, entry in over.entries.items():
        known = entries.get(key)
        if known is not None and isinstance(known.node, Mapping) and isinstance(entry.node, Mapping):
            entries[key] = Entry(known.key, overlay(known.node, entry.node))
        else:
            entries[key] = entry
    return Mapping(under.place, entries)
