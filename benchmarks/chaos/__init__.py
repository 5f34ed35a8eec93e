"""The fault bench: real calls while parts are killed, hung, cut off and filled up, and then an auditor. `make chaos`; docs/chaos.md."""
