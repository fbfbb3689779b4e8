"""Images made on this machine in place of those that an image registry would give: for engines that reach none."""
