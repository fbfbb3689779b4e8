"""Ports → documents: obligations, patients, threads and numbers, each with the indexes it needs; shard key: the patient's id."""
