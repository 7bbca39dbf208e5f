"""Work that outlives the request that asked for it. For now it runs in the process of the service."""
