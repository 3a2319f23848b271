"""``python -m drorch``."""

from __future__ import annotations

from drorch.cli.main import main

if __name__ == "__main__":
    main()
