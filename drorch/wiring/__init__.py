"""The only place that chooses adapters: by name, lazily, so that a command imports one provider's SDK and no other."""

from drorch.wiring.adapters import build_engine, build_store, engine_options

__all__ = ["build_engine", "build_store", "engine_options"]
