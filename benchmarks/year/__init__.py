"""A simulated year of calls: who calls when, and on which telephone, follows habits; then stated probabilities are held against it."""
