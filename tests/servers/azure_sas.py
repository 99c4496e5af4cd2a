"""A token for the container `bucket` of an Azurite: azure_sas.py ACCOUNT KEY PERMISSIONS."""

import base64
import hashlib
import hmac
import sys
import urllib.parse

account, key, permissions = sys.argv[1:]
expiry, version = "2099-01-01T00:00:00Z", "2021-08-06"
# What is signed has sixteen lines; those that are empty restrict nothing.
lines = [permissions, "", expiry, f"/blob/{account}/bucket", "", "", "", version, "c", *[""] * 7]
mac = hmac.new(base64.b64decode(key), "\n".join(lines).encode(), hashlib.sha256)
signature = base64.b64encode(mac.digest()).decode()
print(urllib.parse.urlencode({"sp": permissions, "se": expiry, "sv": version, "sr": "c", "sig": signature}))
