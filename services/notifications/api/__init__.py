"""HTTP in: request → command or query → response."""
