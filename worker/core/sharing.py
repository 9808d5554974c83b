"""A whole number of things, shared out."""


def even_shares(total: int, among: int) -> tuple[int, ...]:
    """They differ by one at most, and come to `total`."""
    least, ones_more = divmod(total, among)
    return tuple(least + (number < ones_more) for number in range(among))
