"""HTTP into intake, one file per noun."""
