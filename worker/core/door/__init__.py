"""What the door decides: who asks, what they may, which request is whose, and what an answer is in HTTP.

Pure like all of `core`: no socket, no clock, no chance; tokens come here once they are verified.
"""
