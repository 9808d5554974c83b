"""The door: answers over plain HTTPS for callers who can't hold a session of a queue.

It asks through the request queue like any caller and hears the answers in a session of its own. What may live here:
HTTP, tokens, and who waits for which answer. What may not: anything of how a request is worked on.
"""
