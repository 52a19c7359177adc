"""Live cameras: one capture for all viewers, as multipart JPEG."""
