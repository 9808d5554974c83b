"""URLs of flows, and where a flow's answer may be fetched."""

from yarl import URL

from worker.core.query import Query, encoded


def parse_url(text: str) -> URL:
    """A signature survives only where nothing is quoted anew. Raises ValueError."""
    try:
        return URL(text, encoded=text.isascii() and " " not in text)
    except IndexError:  # yarl's own, at a user before an empty host, as in //[]@
        raise ValueError("no URL: its host is missing") from None


def with_query(url: URL, query: Query) -> URL:
    """Put behind the URL's own parameters, which stay as they are to the byte."""
    if not query:
        return url
    return parse_url(f"{url}{'&' if url.raw_query_string else '?'}{encoded(query)}")


def is_signed(url: URL) -> bool:
    return any(name.lower() == "sig" for name in url.query)


def is_same_origin(url: URL, other: URL) -> bool:
    return (url.scheme, url.host, url.port) == (other.scheme, other.host, other.port)


def may_follow(url: URL, origin: URL, polling_hosts: tuple[str, ...]) -> bool:
    """A listed host may come with its port; a URL with a password is nobody's honest answer."""
    if url.user is not None or url.password is not None:
        return False
    if is_same_origin(url, origin):
        return True
    is_as_safe = url.scheme == "https" or url.scheme == origin.scheme == "http"
    listed = {host.lower() for host in polling_hosts}
    return is_as_safe and ((url.host or "").lower() in listed or url.authority.lower() in listed)


def is_within_workflow(url: URL, trigger: URL) -> bool:
    """Whether `url` lies where the trigger's workflow has its runs; a trigger of another form owns its whole path."""
    workflow, is_trigger, _ = trigger.raw_path.partition("/triggers/")
    own = f"{workflow}/" if is_trigger else f"{trigger.raw_path.rstrip('/')}/"
    return url.raw_path.startswith(own) and ".." not in url.path


def locate(current: URL, location: str) -> URL | None:
    """None for what is no URL that can be asked."""
    if not location.isprintable():
        return None
    try:
        url = current.join(parse_url(location))
        is_whole = bool(url.host and url.port)  # yarl looks at a port only when it is asked for it
    except ValueError:
        return None
    return url if is_whole else None
