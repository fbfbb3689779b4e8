"""The `vigil` command: one file per subcommand, registered in `main`."""
