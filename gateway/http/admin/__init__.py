"""The admin API: routes that parse, call a service and present its answer. Served by the administrator alone."""
