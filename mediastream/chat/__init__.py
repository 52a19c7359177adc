"""Chat: a room on the page of each item and camera, kept in the database and carried by the feeds."""
