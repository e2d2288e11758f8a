"""A real Mesos cluster on loopback: README.md."""
