"""Calling flows: one HTTP client, its gates, its retries and its tokens.

The only importer of aiohttp's client, tenacity and azure-identity. What may live here: sockets, waiting, randomness and
the translation of foreign errors into the core's values; nothing is raised past this package but cancellation and
`NoToken`. What may not: decisions (they are in `core`), anything of the bus, settings.
"""
