"""A server with TLS that knows nothing: tls.py PORT CERTIFICATE KEY. It answers 404."""

import http.server
import ssl
import sys

port, certificate, key = sys.argv[1:]


class Nothing(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = b"<ListBucketResult></ListBucketResult>" if "list-type" in self.path else b""
        self.send_response(200 if body else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_HEAD = do_GET


server = http.server.ThreadingHTTPServer(("127.0.0.1", int(port)), Nothing)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(certificate, key)
server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
