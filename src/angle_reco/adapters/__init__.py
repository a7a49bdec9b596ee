"""Ways to provide the ports, a file or package a technology."""
