#!/usr/bin/env python3
"""http_server.py FOLDER: serves it on a free port of 127.0.0.1, which is printed, until its input ends.

Ranges and If-Range are honoured. The first part of a path says how the server misbehaves:
/ok  /html (says text/html)  /short (ends after half)  /once-short (the first time only)
/flaky (503, then right)  /no-range (always whole)  /changed (another ETag each time)  /slow
/to-file (redirects to file:///etc/passwd)  /longer (one byte too many, without a length)
Requests are noted in FOLDER/requests.log.
"""
import http.server
import os
import sys
import threading
import time

FOLDER = sys.argv[1]
seen = {}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        _, how, name = self.path.split("/", 2)
        times = seen[self.path] = seen.get(self.path, 0) + 1
        wanted = self.headers.get("Range")
        with open(os.path.join(FOLDER, "requests.log"), "a") as log:
            log.write(f"{self.path} {wanted or '-'} {self.headers.get('If-Range') or '-'}\n")
        if how == "to-file":
            return self.reply(302, b"", [("Location", "file:///etc/passwd")])
        if how == "flaky" and times == 1:
            return self.reply(503, b"later", [])
        try:
            with open(os.path.join(FOLDER, name), "rb") as file:
                body = file.read()
        except OSError:
            return self.reply(404, b"no such file", [])
        tag = f'"v{times}"' if how == "changed" else '"v1"'
        headers = [("ETag", tag)]
        if how == "html":
            headers.append(("Content-Type", "text/html; charset=utf-8"))
        status = 200
        same = self.headers.get("If-Range") in (None, tag)
        if wanted and how != "no-range" and same:
            start = int(wanted[len("bytes="):].split("-")[0])
            if start >= len(body):
                return self.reply(416, b"", [])
            headers.append(("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}"))
            body = body[start:]
            status = 206
        half = how == "short" or (how == "once-short" and times == 1)
        self.reply(status, body, headers, half, slow=how == "slow", longer=how == "longer")

    def reply(self, status, body, headers, half=False, slow=False, longer=False):
        self.send_response(status)
        for key, value in headers:
            self.send_header(key, value)
        if longer:
            self.send_header("Connection", "close")
            body += b"!"
            self.close_connection = True
        else:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if half:
            body = body[: len(body) // 2]
            self.close_connection = True
        piece = 65536 if slow else max(1, len(body))
        for at in range(0, len(body), piece):
            self.wfile.write(body[at:at + piece])
            if slow:
                self.wfile.flush()
                time.sleep(0.02)


class Server(http.server.ThreadingHTTPServer):
    def handle_error(self, request, client_address):
        pass  # clients that hang up are what is being tested


server = Server(("127.0.0.1", 0), Handler)
print(server.server_address[1], flush=True)
threading.Thread(target=server.serve_forever, daemon=True).start()
sys.stdin.read()
