import re

from support.house import load_document

from worker.cli.finding import Finding, Verdict
from worker.cli.sizing_findings import sizing_findings


def found(*flows: dict[str, object], **worker: object) -> list[Finding]:
    document = {
        "servicebus": {"namespace": "contoso.servicebus.windows.net"},
        "worker": worker,
        "flows": [{"url": "https://flows.example.com/", **flow} for flow in flows or ({},)],
    }
    return list(sizing_findings(load_document(document)))


def detail(name: str, findings: list[Finding]) -> str:
    return next(finding.detail for finding in findings if finding.name == name)


def hints(findings: list[Finding]) -> list[str]:
    return [finding.detail for finding in findings if finding.verdict is Verdict.HINT]


def test_the_defaults_come_to_something_and_give_no_hint() -> None:
    assert [finding.name for finding in found()] == ["throughput", "keda", "memory"]
    assert hints(found()) == []
    assert hints(found(replicas=2)) == []


def test_throughput_is_told_for_three_flow_times_with_what_bounds_it() -> None:
    told = detail("throughput", found({"concurrency": 4000}, concurrency=400))
    assert "0.2 s: 1,000 (its CPU)" in told
    assert "1 s: 400 (worker.concurrency)" in told
    assert "1 s: 100 (the flows' limits)" in detail("throughput", found())
    assert "250 for all workers" in told


def test_replicas_share_what_a_flow_takes_and_processes_bring_cores() -> None:
    assert "1 s: 50 (" in detail("throughput", found(replicas=2))
    assert "1 s: 100 (" in detail("throughput", found(processes=2))
    told = detail("throughput", found({"concurrency": 4000}, concurrency=2000, processes=2))
    assert "0.2 s: 2,000 (its CPU)" in told


def test_keda_is_given_what_a_busy_pod_holds_and_as_many_pods_as_the_flows_keep_busy() -> None:
    told = detail("keda", found({"concurrency": 4000}, concurrency=400))
    assert re.findall(r"s: (\d+) and (\d+)", told) == [("840", "29"), ("560", "15"), ("308", "15")]


def test_memory_is_told_without_bodies_and_at_worst() -> None:
    told = detail("memory", found({"max_response_bytes": 1_000_000}, concurrency=100))
    assert "100 requests in flight take 2.7 MB beside their bodies, 129 MB at worst" in told


def test_slots_far_above_what_the_flows_take_are_hinted_at() -> None:
    [told] = hints(found(replicas=3))
    assert "share of the flows' concurrency is 33" in told
    assert "lower it to 66" in told
    assert hints(found(replicas=3, concurrency=66)) == []


def test_a_flows_concurrency_that_was_chosen_but_cannot_be_reached_is_hinted_at() -> None:
    [told] = hints(found({"concurrency": 50}, concurrency=20))
    assert told.startswith("flow flow may be called 50 times at once, but the worker of 20 slots can make 20 calls")
    assert hints(found(concurrency=20)) == [], "nobody chose the default"
    assert hints(found({"concurrency": 50}, concurrency=20, replicas=3)) == []
    assert hints(found({"concurrency": 50}, concurrency=20, replicas_dns="workers.flows.svc")) == []


def test_slots_that_are_kept_for_another_flow_cannot_be_reached() -> None:
    [told] = hints(found({"name": "a", "concurrency": 100}, {"name": "b"}, concurrency=100))
    assert "flow a may be called 100 times at once, but the worker of 100 slots can make 75 calls" in told


def test_what_many_flows_have_in_common_is_one_hint() -> None:
    few = hints(found(*({"name": f"f{n}", "concurrency": 2} for n in range(5)), concurrency=10, replicas=3))
    assert [each for each in few if "f2 takes 2 calls at once and 2 more flows, but each of 3 workers may make" in each]
    many = hints(found(*({"name": f"f{n}", "concurrency": 50} for n in range(5)), concurrency=20))
    assert [each for each in many if "and 2 more flows, but the worker of 20 slots can make 12 calls of each" in each]
    assert len(few) == len(many) == 1


def test_more_workers_than_a_flow_takes_calls_are_hinted_at() -> None:
    [told] = hints(found({"concurrency": 2}, concurrency=4, replicas=3))
    assert "takes 2 calls at once, but each of 3 workers may make one" in told
    assert "set worker.replicas to 2" in told
