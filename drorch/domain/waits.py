"""How long calls and failed copies are waited for before they are followed up."""

from __future__ import annotations

from datetime import timedelta

SETTLING = timedelta(minutes=5)
"""How long a call whose outcome is not known may take to show in a listing."""

AFTER_FAILURE = timedelta(hours=1)
"""How long a copy that failed at the provider waits for its next try."""
