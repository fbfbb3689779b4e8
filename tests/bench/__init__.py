"""What `vigil bench` measures Vigil against."""
