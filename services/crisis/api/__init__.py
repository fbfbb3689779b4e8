"""HTTP in: request → command or query → response. No rules."""
