"""The open streams of this process, as administrators see them: a topic, and a page of the admin."""
