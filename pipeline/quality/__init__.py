"""Does a finished video show its joins, does it drift, is it sound? Judged by its frames alone."""
