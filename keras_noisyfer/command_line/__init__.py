"""What the commands and recipes share: flags, runs and what they print."""
