"""Prints a bearer token (HS256, RFC 7519) for the reference API; its key is the argument."""
import base64
import hashlib
import hmac
import json
import sys
import time


def part(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=")


now = int(time.time())
claims = {"sub": "11111111-1111-4111-8111-111111111111", "iat": now, "exp": now + 3600}
text = part(json.dumps({"alg": "HS256", "typ": "JWT"}).encode()) + b"." + part(json.dumps(claims).encode())
print((text + b"." + part(hmac.new(sys.argv[1].encode(), text, hashlib.sha256).digest())).decode())
