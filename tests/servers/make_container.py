"""Makes a container in Azurite: make_container.py PORT ACCOUNT KEY. The tests' own client cannot."""

import base64
import email.utils
import hashlib
import hmac
import sys
import urllib.request

port, account, key = sys.argv[1:]
date = email.utils.formatdate(usegmt=True)
headers = f"x-ms-date:{date}\nx-ms-version:2021-08-06\n"
resource = f"/{account}/{account}/bucket\nrestype:container"
to_sign = "PUT" + "\n" * 12 + headers + resource
mac = hmac.new(base64.b64decode(key), to_sign.encode(), hashlib.sha256)
request = urllib.request.Request(
    f"http://127.0.0.1:{port}/{account}/bucket?restype=container",
    method="PUT",
    headers={
        "x-ms-date": date,
        "x-ms-version": "2021-08-06",
        "Authorization": f"SharedKey {account}:{base64.b64encode(mac.digest()).decode()}",
    },
)
urllib.request.urlopen(request).close()
