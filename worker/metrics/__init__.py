"""What the worker tells Prometheus: counted from each `Observed`, or read from facts when it is scraped.

Names are what operators' alerts and dashboards hang on: tests/golden/metrics.txt has them all, and none is renamed.
What may live here: the registry, the families and their texts. What may not: a decision, or anything that calls back.
"""
