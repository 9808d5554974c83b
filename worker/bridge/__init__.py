"""The bridge itself: one message through eight steps (`process`), many at once (`pump`).

Knows the core and its own `ports`; never the SDK, aiohttp, settings or the admin server.
"""
