"""Forgotten users: what is kept of each is a tombstone, a keyed hash of their id.

The key is made on this site alone, so that nobody can look a tombstone up in a table of hashes of ids.
"""

import hmac


def tombstone(key: bytes, user_id: str) -> str:
    """Return the tombstone of a user's canonical id: HMAC-SHA256, 64 hexadecimal digits.

    >>> tombstone(b"secret", "200")[:16]
    '98065accbd5e8018'
    """
    return hmac.digest(key, user_id.encode(errors="surrogatepass"), "sha256").hex()
