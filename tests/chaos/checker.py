"""A round's records in, violations of the laws out. Pure."""

from chaos.cut_laws import check_cuts
from chaos.fleet_laws import check_fleet
from chaos.laws import Admitted, check_request
from chaos.records import Round, Violation
from chaos.traces import traces_of


def check(record: Round, admitted: Admitted | None = None) -> list[Violation]:
    """`admitted` counts what the crash table allows."""
    admitted = admitted or Admitted()
    traces = traces_of(record)
    of_requests = [violation for trace in traces.values() for violation in check_request(trace, admitted)]
    return [*of_requests, *check_cuts(record, traces), *check_fleet(record, traces)]
