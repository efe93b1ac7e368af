"""From a connection and the configuration to a backend, its settings and the administrator's permissions."""
