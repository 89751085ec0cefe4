"""Floor 7, over HTTP: flags to production services, events back, pages for people."""
