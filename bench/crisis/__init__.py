"""The crisis on the embedded cloud: a region is lost, then the provider, every command as a person sees it."""
