"""A small version of the campaign in restarts.py."""

import asyncio
import json

from .restarts import End, opened, play, restart

REQUESTS = 150


async def test_callers_get_their_own_answers_while_doors_and_worker_stop_and_vanish() -> None:
    """And what was told before both doors were restarted is told again: by its id, and to who repeats its key."""
    headers = {"Idempotency-Key": "once"}
    async with opened(2, session_lock_s=1.0, drain_s=1.2) as stage:
        told = await stage.until_answered("POST", "/v1/flows/flow", data=b"once more", headers=headers)
        playing = asyncio.create_task(play(stage, requests=REQUESTS, at_once=REQUESTS))
        first, second = stage.doors
        await asyncio.gather(
            restart(stage, first, End.STOPS),
            restart(stage, second, End.VANISHES),
            restart(stage, stage.worker, End.STOPS),
        )
        by_id = await stage.until_answered("GET", f"/v1/requests/{told.headers['Flowbridge-Request-Id']}")
        by_key = await stage.until_answered("POST", "/v1/flows/flow", data=b"once more", headers=headers)
        await playing
    assert stage.violations == []
    assert sum(map(len, stage.took_s.values())) == REQUESTS
    assert told.body == by_id.body == by_key.body
    assert json.loads(told.body)["asked"] == "once more"
