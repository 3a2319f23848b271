"""Wrappers around a port, composable and one concern each. None is needed so far: retries live in the SDKs, deadlines
in the pipeline, faults in the tests."""
