"""The door to Asterisk: events and requests (ari), queue and agent facts (ami), dialplans we do not own (agi), and a
private Asterisk of our own (pbx, debs)."""
