set -e
mkdir /tmp/n
cat >/tmp/n/conf <<C
pid /tmp/n/pid; error_log stderr crit; worker_processes 2;
events { worker_connections 64; }
http {
	access_log off; sendfile on;
	client_body_temp_path /tmp/n/b; proxy_temp_path /tmp/n/p; fastcgi_temp_path /tmp/n/f;
	uwsgi_temp_path /tmp/n/u; scgi_temp_path /tmp/n/s;
	server { listen 8080; root /usr/share/nginx/html; location /proxy/ { proxy_pass http://127.0.0.1:8080/; } }
}
C
status() {
	curl --silent --retry 20 --retry-connrefused --retry-delay 1 -o /dev/null -w '%{http_code}\n' "http://127.0.0.1:8080/$1"
}
nginx -e stderr -c /tmp/n/conf
status index.html
status proxy/index.html
status nothing
# The reload is over when there is what is new, so that each run makes the same calls.
sed -i 's,location /proxy/,location /new { return 204; } &,' /tmp/n/conf
nginx -e stderr -c /tmp/n/conf -s reload 2>/dev/null
sleep 0.05
until [ "$(status new)" = 204 ]; do sleep 0.05; done
status index.html
nginx -e stderr -c /tmp/n/conf -s quit 2>/dev/null
# Always a sleep, so that each run makes the same calls.
sleep 0.05
while [ -e /tmp/n/pid ]; do sleep 0.05; done
