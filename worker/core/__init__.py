"""Values and decisions of the bridge, all pure: no asyncio, clock, socket, logging, random or SDK.

A step of the pipeline takes one frozen value and returns the next:
`Delivery → Request → Call → FlowOutcome → Verdict → Settlement`. Time is an argument (`now`, seconds on the event
loop's clock unless a name says otherwise).
"""
