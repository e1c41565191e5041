"""A session as `aws login` leaves it in its cache.

    python login_session.py FOLDER SESSION SECONDS

The session is named as `login_session` of a profile names it, and its keys expire after so many
seconds, which may be less than none.
"""

import datetime
import hashlib
import json
import pathlib
import sys

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

folder, session, seconds = pathlib.Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
expires = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=seconds)
key = ec.generate_private_key(ec.SECP256R1()).private_bytes(
    serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
)
folder.mkdir(parents=True, exist_ok=True)
(folder / (hashlib.sha256(session.encode()).hexdigest() + ".json")).write_text(json.dumps({
    "accessToken": {
        "accessKeyId": "ASIACACHED", "secretAccessKey": "cached", "sessionToken": "token-1",
        "accountId": "123456789012", "expiresAt": expires.strftime("%Y-%m-%dT%H:%M:%SZ"),
    },
    "tokenType": "aws_sigv4",
    "refreshToken": "refresh-1",
    "clientId": "arn:aws:signin:::devtools/same-device",
    "dpopKey": key.decode(),
}))
