"""What sessions is connected to: the store's clock, patients' keys, rooms."""
