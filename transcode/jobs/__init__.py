"""Work that outlasts a request: a row for each job, django-q2 to bring it to the job worker, one runner."""
