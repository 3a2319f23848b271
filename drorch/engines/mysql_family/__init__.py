"""What the engines of MariaDB and MySQL share: the handshake, clients, dumps, restores, scratch servers.

No engine of its own: `mariadb` and `mysql` give it their `Vendor`, and do not know each other.
"""
