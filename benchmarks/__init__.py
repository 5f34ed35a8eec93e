"""What Santral costs and how fast it is, measured against named rivals on the same Asterisk. `make bench`; see README.md."""
