"""Sections of a payload as GrowthBook SDKs decrypt them: AES-128 in CBC mode, PKCS7, no MAC.

That hides rules from somebody who reads a page's traffic, not from somebody who has the page: the
key is in its code. It is no seal either, for nothing tells bytes that were changed on the way.
"""

from __future__ import annotations

import base64
import hashlib
import hmac

_BLOCK_BITS = 128
_IV_BYTES = 16


def encrypt(plaintext: bytes, payload_key: str) -> str:
    """Return the vector and the encrypted bytes, both in Base64, with a dot between.

    The vector is made of key and text, so that every server gives the same bytes, and a client that
    has them is told so. What that gives away is only that a text is the same as before.

    Args:
        plaintext: Any bytes.
        payload_key: 16 bytes in Base64.
    """
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
    from cryptography.hazmat.primitives.padding import PKCS7

    key = base64.b64decode(payload_key, validate=True)
    vector = hmac.digest(key, plaintext, hashlib.sha256)[:_IV_BYTES]
    padder = PKCS7(_BLOCK_BITS).padder()
    padded = padder.update(plaintext) + padder.finalize()
    encryptor = Cipher(algorithms.AES128(key), modes.CBC(vector)).encryptor()
    sealed = encryptor.update(padded) + encryptor.finalize()
    return f"{base64.b64encode(vector).decode()}.{base64.b64encode(sealed).decode()}"


def decrypt(text: str, payload_key: str) -> bytes:
    """Return what was encrypted, by us or by a GrowthBook.

    Raises:
        ValueError: If the text or the key is malformed, or the key is another one (most often).
    """
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
    from cryptography.hazmat.primitives.padding import PKCS7

    vector, _, sealed = text.partition(".")
    key = base64.b64decode(payload_key, validate=True)
    mode = modes.CBC(base64.b64decode(vector, validate=True))
    decryptor = Cipher(algorithms.AES128(key), mode).decryptor()
    padded = decryptor.update(base64.b64decode(sealed, validate=True)) + decryptor.finalize()
    unpadder = PKCS7(_BLOCK_BITS).unpadder()
    return unpadder.update(padded) + unpadder.finalize()
