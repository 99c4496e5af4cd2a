"""Puts a few objects into Azurite or fake-gcs-server: put_blobs.py azblob|gs PORT PREFIX [ACCOUNT KEY].

The keys and what is said of the objects are the tests' own; see tests/bucket/others.rs."""

import base64
import email.utils
import hashlib
import hmac
import json
import sys
import urllib.parse
import urllib.request

kind, port, prefix, *account = sys.argv[1:]
KEYS = ["a", "a/", "a//b", "a/b", "sp ace+plus%25", "ä/ö 😀", "q?uery&x=1"]


def send(url, method, body, headers):
    urllib.request.urlopen(urllib.request.Request(url, body, headers, method=method)).close()


def azblob(key, body):
    name, secret = account
    path = f"/{name}/bucket/{urllib.parse.quote(prefix + '/' + key)}"
    ms = {
        "x-ms-blob-type": "BlockBlob",
        "x-ms-date": email.utils.formatdate(usegmt=True),
        "x-ms-meta-of": key.encode().hex(),
        "x-ms-version": "2021-08-06",
    }
    plain = f"PUT\n\n\n{len(body) or ''}\n\ntext/plain\n\n\n\n\n\n\n"
    to_sign = plain + "".join(f"{key}:{value}\n" for key, value in sorted(ms.items())) + f"/{name}{path}"
    mac = hmac.new(base64.b64decode(secret), to_sign.encode(), hashlib.sha256)
    headers = {**ms, "Content-Type": "text/plain", "Authorization": f"SharedKey {name}:{base64.b64encode(mac.digest()).decode()}"}
    send(f"http://127.0.0.1:{port}{path}", "PUT", body, headers)


def gs(key, body):
    about = {"name": f"{prefix}/{key}", "contentType": "text/plain", "metadata": {"of": key.encode().hex()}}
    boundary = "boundary-of-parts"
    parts = (
        f"--{boundary}\r\nContent-Type: application/json\r\n\r\n{json.dumps(about)}\r\n"
        f"--{boundary}\r\nContent-Type: text/plain\r\n\r\n"
    ).encode() + body + f"\r\n--{boundary}--\r\n".encode()
    url = f"http://127.0.0.1:{port}/upload/storage/v1/b/bucket/o?uploadType=multipart"
    send(url, "POST", parts, {"Content-Type": f"multipart/related; boundary={boundary}"})


put = {"azblob": azblob, "gs": gs}[kind]
for key in KEYS:
    put(key, key.encode())
put("large", bytes(range(256)) * (9 << 12))
