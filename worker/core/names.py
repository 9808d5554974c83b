"""Names and ids of Dataverse, compared as Dataverse compares them."""

from worker.core.dataverse.facts import EventFacts


def same_name(wanted: str, found: str | None) -> bool:
    return found is not None and wanted.casefold() == found.casefold()


def same_id(wanted: str, found: str | None) -> bool:
    """Senders write a GUID with braces or without."""
    return found is not None and wanted.strip("{}").lower() == found.strip("{}").lower()


def same_organization(wanted: str, facts: EventFacts) -> bool:
    """By its name or its id."""
    return same_name(wanted, facts.organization) or same_id(wanted, facts.organization_id)
