"""What the kinds `rds-instance` and `rds-cluster` share: manual snapshots under names of our own, by one API.

Importing this package loads no SDK.
"""
