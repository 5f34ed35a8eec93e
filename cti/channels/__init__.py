"""Every channel but the telephone: what came on it becomes a `Message`, and a message becomes a row of the timeline."""
