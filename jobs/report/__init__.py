"""``index.html``: a job's films, states, figures and failures on one page, from the store alone."""
