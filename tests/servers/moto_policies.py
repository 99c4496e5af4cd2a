"""moto with users and policies: moto_policies.py and the arguments of moto_server.

Its way to compute signatures differs from everybody else's where a query holds slashes, so it does not compare them here; what a
user may do it does decide.
"""

import sys

import moto.iam.access_control
from moto.server import main

moto.iam.access_control.IAMRequestBase.check_signature = lambda self: None
main(sys.argv[1:])
