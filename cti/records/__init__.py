"""Tables and their queries, by subject. Every query is a plain function of a session; a route never says select()."""
