"""What agents and supervisors see."""
