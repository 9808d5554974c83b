from worker.flow.fleet import Fleet


async def test_each_process_of_each_replica_has_a_share() -> None:
    fleet = Fleet(replicas=3, processes=2, name="localhost")
    assert fleet.workers == 6
    await fleet.count()
    assert (fleet.workers, fleet.failure) == (2, None)
