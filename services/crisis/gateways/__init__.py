"""What crisis reaches outside itself: its own disk, its peers, the providers."""
