"""What the user set, and where: the only part that reads the environment."""
