"""Who is on the line, what happened, and the doors to the switch."""
