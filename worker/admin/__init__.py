"""The worker's own HTTP surface: probes and status. It reads facts that others offer; the bridge never calls it."""
