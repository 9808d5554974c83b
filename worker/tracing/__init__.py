"""Spans for OpenTelemetry, made of each `Observed` once it has ended; and the trace that a request belongs to.

Nothing of OpenTelemetry runs while a request is worked on but its sampler: the ids in the headers to a flow and in the
reply are the bridge's own, and the spans that are made afterwards have the same. What may live here: what the
conventions call things, and the way to the SDK's exporter, which no other package imports. What may not: a decision
about a request. Where nothing is traced, no module of OpenTelemetry is imported.
"""
