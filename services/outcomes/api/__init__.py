"""HTTP into outcomes: one file per noun."""
