"""What a test needs done at an S3 server before it begins.

    s3_admin.py bucket PORT KEY SECRET   makes the bucket `bucket`
    s3_admin.py users PORT POLICY        makes the bucket at a moto that asks for nothing yet, and two users: one who may do
                                         everything, and one who may do what the policy says; prints the keys of both
"""

import json
import sys

import boto3

what, port, *rest = sys.argv[1:]
endpoint = f"http://127.0.0.1:{port}"


def client(service, key="none", secret="none"):
    return boto3.client(
        service, endpoint_url=endpoint, region_name="us-east-1", aws_access_key_id=key, aws_secret_access_key=secret
    )


def user(name, policy):
    iam.create_user(UserName=name)
    iam.put_user_policy(UserName=name, PolicyName="may", PolicyDocument=policy)
    made = iam.create_access_key(UserName=name)["AccessKey"]
    return made["AccessKeyId"], made["SecretAccessKey"]


if what == "bucket":
    client("s3", *rest).create_bucket(Bucket="bucket")
else:
    client("s3").create_bucket(Bucket="bucket")
    iam = client("iam")
    everything = json.dumps(
        {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}
    )
    print(*user("all", everything), *user("some", rest[0]))
