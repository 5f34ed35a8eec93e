"""The demo company and everything that telephones for it: a carrier, agents' phones, and an ear on the line.

Used by `make run`, `santral demo call`, the live tests and the benchmarks; the product itself never imports it.
"""
