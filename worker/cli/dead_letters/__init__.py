"""`flowbridge dead-letters`: a file for each of its commands, and what they share.

What may live here: options, printing, the journal's file, and the putting together. What is decided is in
`core.dead_letters`, and what is said to the broker in `servicebus`.
"""
