"""What another client makes of a place in a bucket: s3_client.py ENDPOINT KEY SECRET BUCKET PREFIX fill|spoil|describe|uploads."""

import hashlib
import json
import sys

import boto3
from boto3.s3.transfer import TransferConfig
from botocore.config import Config

endpoint, key_id, secret, bucket, prefix, deed = sys.argv[1:]
s3 = boto3.client(
    "s3",
    endpoint_url=endpoint,
    aws_access_key_id=key_id,
    aws_secret_access_key=secret,
    region_name="us-east-1",
    config=Config(request_checksum_calculation="when_required", response_checksum_validation="when_required"),
)
ODD = ["a", "a/", "a//b", "a/b", "/lead", "trail//", "x/../y", "./dot", "sp ace+plus%25", "ä/ö 😀", "q?uery&x=1", "quote'\"<>&"]
HEADERS = ["CacheControl", "ContentDisposition", "ContentEncoding", "ContentLanguage", "ContentType"]


def put(name, body, **more):
    s3.put_object(Bucket=bucket, Key=f"{prefix}/{name}", Body=body, **more)


def fill():
    for number, name in enumerate(ODD):
        put(name, b"content of %d " % number * number, ContentType=f"text/x-{number}", Metadata={"n": str(number)})
    for number in range(12):
        put(f"docs/{number:02}.txt", b"document %d" % number * 50, Tagging=f"kind=doc&number={number}")
    put(
        "said",
        b"much is said of it",
        CacheControl="no-cache",
        ContentDisposition='attachment; filename="x.pdf"',
        ContentEncoding="identity",
        ContentLanguage="de",
        ContentType="application/pdf",
        Metadata={"owner": "me", "empty-is": "no"},
        Tagging="a=1&b%20c=%C3%A4",
    )
    put("changed", b"as it was")
    parts = TransferConfig(multipart_threshold=5 << 20, multipart_chunksize=5 << 20, use_threads=False)
    path = f"{prefix}/parts"
    import io

    s3.upload_fileobj(io.BytesIO(bytes(range(256)) * (12 << 12)), bucket, path, Config=parts)
    put("whole", bytes(reversed(range(256))) * (10 << 12))


def spoil():
    put("changed", b"as it IS!")
    put("stray", b"nobody backed it up")
    s3.delete_object(Bucket=bucket, Key=f"{prefix}/docs/03.txt")
    put("docs/04.txt", b"document 4" * 50, Tagging="kind=other")
    put("said", b"much is said of it", ContentType="text/plain")


def describe():
    found = {}
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=f"{prefix}/"):
        for listed in page.get("Contents", []):
            key = listed["Key"]
            got = s3.get_object(Bucket=bucket, Key=key)
            tags = s3.get_object_tagging(Bucket=bucket, Key=key).get("TagSet", [])
            found[key[len(prefix) + 1 :]] = {
                "size": listed["Size"],
                "etag": listed["ETag"],
                "content": hashlib.sha256(got["Body"].read()).hexdigest(),
                "headers": {name: got[name] for name in HEADERS if name in got},
                "metadata": got["Metadata"],
                "tags": sorted((tag["Key"], tag["Value"]) for tag in tags),
            }
    print(json.dumps(found, sort_keys=True))


def uploads():
    """The keys of uploads in parts that were begun and not ended."""
    begun = s3.list_multipart_uploads(Bucket=bucket, Prefix=f"{prefix}/").get("Uploads", [])
    print(json.dumps([upload["Key"][len(prefix) + 1 :] for upload in begun]))


{"fill": fill, "spoil": spoil, "describe": describe, "uploads": uploads}[deed]()
