"""Dead letters as operators see them: what each one is, which are chosen, and what is sent again in its place.

What may live here: decisions about messages that lie in a dead-letter queue. What may not: how they got there, which is
`verdict`'s, and files, clocks and links.
"""
