"""What Vigil costs beside the bare chain and the floor: one run, interleaved, open loop."""
