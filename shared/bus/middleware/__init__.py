"""What stands around a handler, outermost first: decode → dead letter, trace + measure, retry with jitter."""
