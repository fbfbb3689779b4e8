"""The bare chain, the same parts without Vigil: HTTP → MongoDB (majority) → Kafka (`acks=all`) → claim in MongoDB → HTTP out.

Nothing of Vigil is imported here: what it costs is what the parts cost. It forgets flags wherever a part fails.
"""
