"""What images are made of beside the product's own code: their pinned dependencies and their health check."""
