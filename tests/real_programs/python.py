"""A web server with TLS on threads, a client that checks its certificate, and processes that share memory."""
import http.server
import multiprocessing
import ssl
import subprocess
import threading
import urllib.request

REQUEST = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout /tmp/key -out /tmp/cert \
    -days 2 -subj /CN=localhost -addext subjectAltName=IP:127.0.0.1"


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"over TLS")

    def log_message(self, *_):
        pass


subprocess.run(REQUEST.split(), check=True, stderr=subprocess.DEVNULL)
server = http.server.ThreadingHTTPServer(("127.0.0.1", 8443), Handler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("/tmp/cert", "/tmp/key")
server.socket = context.wrap_socket(server.socket, server_side=True)
threading.Thread(target=server.serve_forever, daemon=True).start()
client = ssl.create_default_context(cafile="/tmp/cert")
print(urllib.request.urlopen("https://127.0.0.1:8443/", context=client).read().decode())
pool = multiprocessing.Pool(2)
print(sum(pool.map(abs, range(-10, 0))))
# Not as a context, whose end kills the processes that have not gone by themselves yet: one call more on some days.
pool.close()
pool.join()
